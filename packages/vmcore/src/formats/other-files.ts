import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { ZSTD_MAGICS } from '../zstd-magics.ts';
import { type DumpFormat, hasText } from './dump-format.ts';

/** A file that people take for a guest's memory, or keep it in, and that is not read. */
interface OtherFile {
  /** At offset 0 unless `at` says otherwise. */
  readonly magic: string;
  readonly at?: number;
  /** What it is and what to do, in words that follow "this is". */
  readonly is: string;
}

/** At the end of the first page (Linux, union swap_header). */
const SWAP_SIGNATURE_AT = 4096 - 10;

const UNPACK = 'unpack it first';

const OTHER_FILES: readonly OtherFile[] = [
  {
    magic: 'QEVM',
    is: 'a migration stream of QEMU, as `virsh dump` writes it: dump the guest again with `virsh dump --memory-only`',
  },
  {
    magic: 'LibvirtQemudSave',
    is: 'a saved guest of libvirt (`virsh save`): restore it, then dump it with `virsh dump --memory-only`',
  },
  {
    magic: 'LibvirtQemudPart',
    is: 'a saved guest of libvirt that was not finished: dump the guest with `virsh dump --memory-only`',
  },
  { magic: 'DISKDUMP', is: 'a diskdump of a Linux before kdump: it is not read' },
  { magic: 'PAGEDU64', is: "a crash dump of Windows: expected a Linux guest's memory" },
  { magic: 'PAGEDUMP', is: "a crash dump of a 32-bit Windows: expected a Linux guest's memory" },
  { magic: 'MDMP', is: "a minidump of a Windows program: expected a Linux guest's memory" },
  ...['hibr', 'HIBR', 'wake', 'WAKE', 'RSTR'].map((magic) => ({
    magic,
    is: "a hibernation file of Windows: expected a Linux guest's memory",
  })),
  ...['S1SUSPEND', 'S2SUSPEND', 'ULSUSPEND', 'LINHIB0001'].map((magic) => ({
    magic,
    at: SWAP_SIGNATURE_AT,
    is: 'a hibernation image of Linux in a swap area, whose pages are packed in an order of its own: resume it, then dump its memory',
  })),
  { magic: 'SWAPSPACE2', at: SWAP_SIGNATURE_AT, is: 'a swap area of Linux: expected memory' },
  {
    magic: '\x7fVirtualBox SavedState',
    is: "a saved state of VirtualBox: resume it, then dump the guest's memory with `VBoxManage debugvm NAME dumpvmcore`",
  },
  { magic: 'conectix', is: 'a VHD disk image: expected memory' },
  { magic: 'vhdxfile', is: 'a VHDX disk image: expected memory' },
  {
    magic: 'QFI\xfb',
    is: "a qcow2 disk image: expected memory; of a snapshot in it (`savevm`), restore it and dump the guest's memory",
  },
  { magic: 'KDMV', is: 'a VMDK disk image: expected memory' },
  { magic: '\xd2\xbe\xd2\xbe', is: "a VMware snapshot's state: use the guest's memory, .vmem beside it" },
  { magic: '\xd0\xbe\xd2\xbe', is: "a VMware snapshot's state: use the guest's memory, .vmem beside it" },
  { magic: '\xd3\xbe\xd3\xbe', is: "a VMware snapshot's state: use the guest's memory, .vmem beside it" },
  { magic: '\xd1\xba\xd1\xba', is: "a VMware snapshot's state: use the guest's memory, .vmem beside it" },
  {
    magic: 'sadump\0\0',
    is: 'a dump of sadump (Fujitsu), which is not read: makedumpfile converts it',
  },
  { magic: 'AVML', is: 'a compressed image of AVML: convert it with `avml-convert`, then it is LiME' },
  {
    magic: '\xff\xff\xff\xff\xff\xff\xff\xffXENF',
    is: 'a migration stream of Xen, which is not read: dump the memory of its domain from inside (kdump, LiME)',
  },
  {
    magic: 'Xen saved domain',
    is: 'a saved domain of Xen, which is not read: dump its memory from inside (kdump, LiME)',
  },
  { magic: 'HdrS', at: 0x202, is: 'a kernel image (bzImage): expected the memory of a running kernel' },
  { magic: '!<arch>\ndebian', is: 'a Debian package: expected the memory of a running kernel' },
  { magic: 'PK\x03\x04', is: `a zip archive: ${UNPACK}` },
  { magic: 'BZh', is: `packed by bzip2: ${UNPACK} (bunzip2)` },
  { magic: '7z\xbc\xaf\x27\x1c', is: `a 7z archive: ${UNPACK}` },
  { magic: '\x04\x22\x4d\x18', is: `packed by lz4: ${UNPACK} (unlz4)` },
  { magic: '\x02\x21\x4c\x18', is: `packed by lz4: ${UNPACK} (unlz4)` },
  { magic: '\x89LZO\0\r\n\x1a\n', is: `packed by lzop: ${UNPACK} (lzop -d)` },
  { magic: '\x1f\x8b', is: `packed by gzip: ${UNPACK} (gunzip)` },
  { magic: '\xfd7zXZ\0', is: `packed by xz: ${UNPACK} (unxz)` },
  ...ZSTD_MAGICS.map((magic) => ({ magic, is: `packed by zstd: ${UNPACK} (unzstd)` })),
  { magic: 'ustar', at: 257, is: `a tar archive: ${UNPACK} (tar -x)` },
];

/** Files that are known by their beginning and are not read, each refused for what it is. */
export const otherFile: DumpFormat = {
  looksAt: 4096,
  recognises: (start) => otherFileOf(start) !== undefined,
  read(source: ByteSource) {
    const start = new Uint8Array(Math.min(otherFile.looksAt, source.size));
    source.read(0, start);
    throw new VmcoreError(`this is ${otherFileOf(start)?.is ?? 'not known'}`, { offset: 0 });
  },
};

function otherFileOf(start: Uint8Array): OtherFile | undefined {
  return OTHER_FILES.find(({ magic, at }) => hasText(start, magic, at));
}
