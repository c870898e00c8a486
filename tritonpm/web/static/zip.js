// Several files as one .zip, not compressed: images and .npz are so already.
const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

export async function zipped(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [number, file] of [...files].entries()) {
    const content = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(`${number}${file.name.slice(file.name.lastIndexOf("."))}`);
    const entry = about(content, name);
    parts.push(header(0x04034b50, [20], entry, []), name, content);
    directory.push(header(0x02014b50, [20, 20], entry, [0, 0, 0, 0, 0, at & 0xffff, at >>> 16]), name);
    at += 30 + name.length + content.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, at, true);
  return new File([...parts, ...directory, end], "samples.zip");
}

// What the local header and the directory both tell: flags, method, time, date, CRC-32, sizes, the name's length, extra.
function about(content, name) {
  let sum = ~0;
  for (const byte of content) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  const crc = ~sum >>> 0;
  const size = content.length;
  return [0, 0, 0, 0x21, crc & 0xffff, crc >>> 16, size & 0xffff, size >>> 16, size & 0xffff, size >>> 16, name.length, 0];
}

function header(signature, versions, entry, rest) {
  const shorts = [signature & 0xffff, signature >>> 16, ...versions, ...entry, ...rest];
  const view = new DataView(new ArrayBuffer(shorts.length * 2));
  shorts.forEach((value, index) => view.setUint16(index * 2, value, true));
  return new Uint8Array(view.buffer);
}
