"""`tritonpm doctor`: what this machine has and lacks, and what can be mended."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.options import PROFILE
from tritonpm.core.errors import TritonpmError
from tritonpm.core.units import number_of


@command(
    "doctor", examples="tritonpm doctor\ntritonpm doctor --profile mech-vision\ntritonpm doctor --rebuild-catalogue"
)
@PROFILE
@click.option("--rebuild-catalogue", is_flag=True, help="Rebuild a corrupt catalogue from the packages' records.")
@click.option("--fix", is_flag=True, help="Repair what `verify` finds damaged, from the blobs.")
@reading
@pass_app
def doctor_command(app: App, rebuild_catalogue: bool, fix: bool, profile: str) -> None:
    """Show what this machine has, what is missing and how to get it."""
    if fix:
        from tritonpm.operations.verify import mend

        with app.open() as context:
            mended, left = mend(context)
        for damage in mended:
            app.say(f"Repaired {damage.name}, which {damage.sentence}.")
        for damage in left:
            app.advise(f"{damage.name} {damage.sentence}.")
        app.say(f"{len(mended)} repaired, {len(left)} left." if mended or left else "Nothing is damaged.")
        return
    if rebuild_catalogue:
        from tritonpm.catalogue import find
        from tritonpm.operations.verify import rebuild

        rebuilt = rebuild(find(app.workspace), app.advise)
        for sentence in rebuilt.unreadable:
            app.advise(f"Warning: {sentence}; its package is not in the new catalogue.")
        count = number_of(len(rebuilt.packages), "package")
        app.say(f"Rebuilt the catalogue with {count}; publish them again with `tritonpm load`.")
        if rebuilt.kept:
            app.say(f"The old one is kept as {rebuilt.kept}.")
        return
    from tritonpm.cli.output import table
    from tritonpm.operations.doctor import doctor

    checks = doctor(profile)
    rows = (("ok" if c.ok else "missing" if c.needed else "-", c.name, c.found or c.remedy) for c in checks)
    app.emit("Doctor", checks, lambda: table(("", "CHECK", "FOUND, OR WHAT TO DO"), rows))
    if any(c.needed and not c.ok for c in checks):
        raise TritonpmError("something needed is missing", do="see the list above")
