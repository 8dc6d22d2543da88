import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type Fixture, projectFile } from './run-command.ts';

/** The bytes of a fixture's dump, to be changed at will. */
export function coreBytes(name: Fixture | `foreign/${string}`): Buffer {
  return gunzipSync(readFileSync(projectFile(`fixtures/${name}.elf.gz`)));
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

/** Where CR0 of a CPU lies in a dump: in QEMU's note of it, after 18 general registers and 10 segments. */
function controlRegistersAt(core: Buffer, cpu: number): number {
  let name = -1;
  for (let index = 0; index <= cpu; index++) name = core.indexOf('QEMU\0', name + 1, 'latin1');
  return name + 8 + 8 + 18 * 8 + 10 * 24;
}

/** What a CPU, by default the first, has in CR0, CR3 or CR4. */
export function controlRegister(core: Buffer, number: 0 | 3 | 4, cpu = 0): bigint {
  return core.readBigUInt64LE(controlRegistersAt(core, cpu) + number * 8);
}

/** Writes CR0, CR3 or CR4 of a CPU, by default the first. */
export function setControlRegister(core: Buffer, number: 0 | 3 | 4, value: bigint, cpu = 0): void {
  core.writeBigUInt64LE(value, controlRegistersAt(core, cpu) + number * 8);
}
