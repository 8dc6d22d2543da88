/** A file of a tar archive. */
export function tarFile(name: string, content: Uint8Array): Buffer {
  const header = Buffer.alloc(512);
  header.write(name);
  header.write(content.length.toString(8).padStart(11, '0'), 124);
  return Buffer.concat([header, content, Buffer.alloc(-content.length & 511)]);
}

/** A Debian package whose member `name` is `data`. */
export function packageOf(name: string, data: Uint8Array): Buffer {
  const member = (title: string, bytes: Uint8Array): Buffer =>
    Buffer.concat([
      Buffer.from(`${title.padEnd(48)}${String(bytes.length).padEnd(10)}\`\n`),
      bytes,
      Buffer.alloc(bytes.length & 1),
    ]);
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    member('debian-binary', Buffer.from('2.0\n')),
    member(name, data),
  ]);
}
