/**
 * How many pages of memory the kernel's mappings together let it read, write and execute, from QEMU's listing of the
 * leaves and the guest's own memory map. It shares no code with the packages that it judges.
 */

/** Pages by what all mappings of a page allow together. */
export type Judgement = Readonly<Record<'r--' | 'r-x' | 'rw-' | 'rwx', number>>;

const PAGE = 4096;
/** On a PC all of the first mebibyte is memory: the VGA window and the option ROMs, too. */
const LOW_MEMORY: readonly [number, number] = [0, 0x100];
const [MAPPED, WRITABLE, EXECUTABLE] = [1, 2, 4];

/**
 * @param infoTlb the text of `info tlb`: `VVVVVVVVVVVVVVVV: PPPPPPPPPPPPPPPP XGPDACTUW` a leaf
 * @param iomem the lines of /proc/iomem
 */
export function judge(infoTlb: string, iomem: readonly string[]): Judgement {
  const memory = [LOW_MEMORY, ...ramOf(iomem)];
  const end = Math.max(...memory.map(([, last]) => last));
  const rights = new Uint8Array(end);
  const isMemory = new Uint8Array(end);
  for (const [from, to] of memory) isMemory.fill(1, from, to);

  const lines = infoTlb.split('\n').filter((line) => line.startsWith('f'));
  for (const [index, line] of lines.entries()) {
    const frame = Number.parseInt(line.slice(18, 34), 16) / PAGE;
    const flags = line.slice(35);
    const granted = MAPPED | (flags.endsWith('W') ? WRITABLE : 0) | (flags.startsWith('X') ? 0 : EXECUTABLE);
    const frames = flags[2] === 'P' ? sizeOfLargeLeaf(line, lines[index + 1]) : 1;
    for (let one = frame; one < Math.min(frame + frames, end); one++)
      rights[one] = (rights[one] ?? 0) | granted;
  }

  const pages = { 'r--': 0, 'r-x': 0, 'rw-': 0, rwx: 0 };
  const names = ['r--', 'rw-', 'r-x', 'rwx'] as const;
  for (let frame = 0; frame < end; frame++) {
    const granted = rights[frame] ?? 0;
    if (isMemory[frame] === 1 && granted !== 0) pages[names[granted >> 1] ?? 'r--']++;
  }
  return pages;
}

/**
 * The frames of a large leaf: 1 GiB if both its addresses are multiples of that and the next leaf does not lie inside.
 * QEMU prints no size; a leaf of 2 MiB at such addresses is followed by its neighbour, save where that is not mapped.
 */
function sizeOfLargeLeaf(line: string, next: string | undefined): number {
  const [virtual, physical] = [line.slice(0, 16), line.slice(18, 34)].map((text) => BigInt(`0x${text}`));
  const gib = 1n << 30n;
  if (virtual === undefined || physical === undefined) return 0;
  const isAligned = virtual % gib === 0n && physical % gib === 0n;
  const following = next === undefined ? virtual + gib : BigInt(`0x${next.slice(0, 16)}`);
  return isAligned && following >= virtual + gib ? 0x4_0000 : 0x200;
}

/** The whole pages above the first mebibyte that are RAM by any of its names, at any depth. */
function ramOf(iomem: readonly string[]): (readonly [number, number])[] {
  return iomem.flatMap((line) => {
    const [, first = '', last = ''] = /^ *([0-9a-f]+)-([0-9a-f]+) : System RAM(?: \(.*\))?$/.exec(line) ?? [];
    if (first === '') return [];
    const start = Math.max(LOW_MEMORY[1], Math.ceil(Number.parseInt(first, 16) / PAGE));
    const end = Math.floor((Number.parseInt(last, 16) + 1) / PAGE);
    return start < end ? [[start, end] as const] : [];
  });
}
