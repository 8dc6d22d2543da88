import { describe, expect, it } from 'vitest';
import { readVmcore } from '../vmcore.ts';

/** A file of whole pages, as a raw image is, with `magic` at `at`. */
function file(magic: string, at = 0): Uint8Array {
  const bytes = new Uint8Array(2 ** 20);
  bytes.set(Buffer.from(magic, 'latin1'), at);
  return bytes;
}

describe('a file that is not memory which can be read is refused for what it is', () => {
  it.each([
    ['QEVM', 0, 'virsh dump --memory-only'],
    ['LibvirtQemudSave', 0, 'virsh save'],
    ['\x7fVirtualBox SavedState V2.0', 0, 'a saved state of VirtualBox'],
    ['\xd2\xbe\xd2\xbe', 0, '.vmem beside it'],
    ['\xd0\xbe\xd2\xbe', 0, '.vmem beside it'],
    ['sadump\0\0', 0, 'a dump of sadump'],
    ['\xff\xff\xff\xff\xff\xff\xff\xffXENF', 0, 'a migration stream of Xen'],
    ['PAGEDU64', 0, 'Windows'],
    ['PAGEDUMP', 0, '32-bit Windows'],
    ['MDMP', 0, 'minidump'],
    ['HIBR', 0, 'a hibernation file of Windows'],
    ['S1SUSPEND', 4086, 'a hibernation image of Linux'],
    ['SWAPSPACE2', 4086, 'a swap area'],
    ['Xen saved domain', 0, 'a saved domain of Xen'],
    ['vhdxfile', 0, 'a VHDX disk image'],
    ['QFI\xfb', 0, 'a qcow2 disk image'],
    ['HdrS', 0x202, 'a kernel image'],
    ['ustar', 257, 'a tar archive'],
  ])('%s at %i', (magic, at, words) => {
    expect(() => readVmcore(file(magic, at))).toThrow(words);
    expect(readVmcore(file(magic, at + 1)).format).toBe('raw image');
  });
});
