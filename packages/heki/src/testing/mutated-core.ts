import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type Fixture, fixturePath } from './run-command.ts';

/** The bytes of a fixture's dump, to be changed at will. */
export function coreBytes(name: Fixture): Buffer {
  return gunzipSync(readFileSync(fixturePath(name)));
}

/** Where the pages of a dump lie in its file: `[guest-physical address, file offset]` of each. */
export function pagesOf(core: Buffer): [address: number, offset: number][] {
  const pages: [number, number][] = [];
  const at = Number(core.readBigUInt64LE(32));
  for (let index = 0; index < core.readUInt16LE(56); index++) {
    const header = at + index * 56;
    if (core.readUInt32LE(header) !== 1) continue;
    const offset = Number(core.readBigUInt64LE(header + 8));
    const address = Number(core.readBigUInt64LE(header + 24));
    const size = Number(core.readBigUInt64LE(header + 32));
    for (let page = 0; page < size; page += 4096) pages.push([address + page, offset + page]);
  }
  return pages;
}
