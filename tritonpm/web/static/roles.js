// What the role of who looks does not cover is disabled, and says why: of what is drawn anew, and of what scripts enable, too.
const place = document.getElementById("denied");
const denied = Object.entries(place ? JSON.parse(place.textContent) : {});

export function roles() {
  if (!denied.length) return;
  new MutationObserver(disable).observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled"] });
  disable();
}

function disable() {
  for (const [selector, why] of denied) {
    for (const control of document.querySelectorAll(selector)) {
      if (control.title !== why) control.title = why;
      if (control.tagName === "A") withheld(control);
      else if (!control.disabled) control.disabled = true;
    }
  }
}

function withheld(link) {
  link.removeAttribute("href");
  link.setAttribute("aria-disabled", "true");
}
