import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SECTOR = 512;
/** What one cylinder of a disk with 16 heads and 63 sectors holds. */
const CYLINDER = 16 * 63 * SECTOR;
/** Bytes of the guest on the disk: its program lies behind it. */
const GUEST_BYTES = 0x1_0000;
/** Where the boot sector has the number of sectors to read. */
const SECTORS_AT = 0x1f8;

/** Assembles the guest in `sources` and its boot sector into `folder`; a maker of disks for it. */
export function assembleGuest(
  sources: string,
  folder: string,
): (program: Uint8Array, path: string) => number {
  const assembled = (name: string, bits: 32 | 64, at: string): Uint8Array => {
    const object = join(folder, `${name}.o`);
    const binary = join(folder, `${name}.bin`);
    execFileSync('as', [`--${bits}`, '-o', object, join(sources, `${name}.S`)]);
    const machine = bits === 64 ? 'elf_x86_64' : 'elf_i386';
    execFileSync('ld', ['-m', machine, `-Ttext=${at}`, '--oformat', 'binary', '-o', binary, object]);
    return readFileSync(binary);
  };
  const boot = assembled('boot', 32, '0x7c00');
  const guest = assembled('guest', 64, '0x100000');
  if (boot.length !== SECTOR || guest.length > GUEST_BYTES) {
    throw new Error(`a boot sector of ${boot.length} bytes and a guest of ${guest.length}: too large`);
  }
  return (program, path) => {
    const bytes = SECTOR + GUEST_BYTES + program.length;
    const cylinders = Math.ceil(bytes / CYLINDER);
    const disk = new Uint8Array(cylinders * CYLINDER);
    disk.set(boot, 0);
    disk.set(guest, SECTOR);
    disk.set(program, SECTOR + GUEST_BYTES);
    new DataView(disk.buffer).setUint32(SECTORS_AT, Math.ceil((bytes - SECTOR) / SECTOR), true);
    writeFileSync(path, disk);
    return cylinders;
  };
}
