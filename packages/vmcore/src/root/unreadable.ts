import { frameOf, gfn, gpa, hex, PAGE_SIZE, type PageView } from '@heki/physical-memory';
import type { Vmcore } from '../vmcore.ts';

/** Of a dump in which nothing proves to be a kernel's: what else it seems to be, as a sentence without a full stop. */
export function whyUnreadable(core: Vmcore): string | undefined {
  return (
    otherMachine(core) ??
    underXen(core) ??
    encryptedState(core) ??
    encryptedRoot(core) ??
    encryptedMemory(core)
  );
}

/** Linux tells this on arm64 alone (arch/arm64/kernel/vmcore_info.c). */
const ARM64_KEY = 'NUMBER(kimage_voffset)';

function otherMachine({ vmcoreinfo }: Vmcore): string | undefined {
  if (vmcoreinfo?.values.has(ARM64_KEY) === true) {
    return 'its VMCOREINFO is that of an AArch64 kernel, whose page tables are others';
  }
  const root = vmcoreinfo?.symbol('swapper_pg_dir');
  if (root === undefined || root >= 2n ** 32n) return undefined;
  return `its VMCOREINFO is that of a 32-bit kernel (swapper_pg_dir at ${hex(root)}), whose page tables are others`;
}

/** Notes that Xen's kexec writes beside those of its first domain (xen/include/public/elfnote.h), and what it says of itself. */
const XEN_NOTES: ReadonlySet<string> = new Set(['Xen', 'VMCOREINFO_XEN']);

function underXen({ notes }: Vmcore): string | undefined {
  if (!notes.some(({ name }) => XEN_NOTES.has(name))) return undefined;
  return "it is the memory of a Xen host: addresses that its first domain's kernel tells are not those of the machine, and are not followed; dump a domain from inside (kdump, LiME)";
}

function encryptedState({ cpus }: Vmcore): string | undefined {
  if (cpus.length === 0 || cpus.some(({ cr0, cr3, cr4 }) => cr0 !== 0n || cr3 !== 0n || cr4 !== 0n))
    return undefined;
  return 'the control registers of every CPU are zero, as of a guest whose state is encrypted (SEV-ES, SEV-SNP, TDX): dump it from inside, by kdump or LiME';
}

function encryptedRoot({ cpus, vmcoreinfo, memory }: Vmcore): string | undefined {
  const told = [
    ...cpus.map(({ cr3 }, index) => ({
      name: `CR3 of CPU ${index}`,
      address: Number(BigInt.asUintN(47, cr3)),
    })),
    ...(vmcoreinfo?.swapperPgDir === undefined
      ? []
      : [{ name: 'swapper_pg_dir', address: Number(vmcoreinfo.swapperPgDir) }]),
  ];
  for (const { name, address } of told) {
    const page = memory.page(frameOf(gpa(address - (address % PAGE_SIZE))));
    if (page === undefined || !isRandom(page)) continue;
    return `the page at ${hex(address - (address % PAGE_SIZE))}, which ${name} names, is evenly random, as encrypted memory (SEV, TDX) is from outside: dump the guest from inside, by kdump or LiME`;
  }
  return undefined;
}

/** Pages that are looked at, all over memory. */
const SAMPLES = 256;

/** Of a dump that names no root: one of ciphertext, or a file that is something else. */
function encryptedMemory({ cpus, vmcoreinfo, memory, segments }: Vmcore): string | undefined {
  if (cpus.length > 0 || vmcoreinfo !== undefined) return undefined;
  let looked = 0;
  let random = 0;
  for (const { start, end } of segments.slice(0, SAMPLES)) {
    const frames = Math.floor((end - start) / PAGE_SIZE);
    const step = Math.max(1, Math.floor(frames / Math.ceil(SAMPLES / segments.length)));
    for (let frame = 0; frame < frames; frame += step) {
      const page = memory.page(gfn(Math.floor(start / PAGE_SIZE) + frame));
      if (page === undefined) continue;
      looked++;
      if (isRandom(page)) random++;
    }
  }
  if (random * 2 <= looked) return undefined;
  return `${random} of ${looked} pages that were looked at are evenly random: it is encrypted memory (SEV, TDX) from outside, or no memory at all`;
}

/**
 * Whether all bytes are about as frequent in the page, by the chi-square test: random pages give 255, with a standard deviation of 23; code gives
 * thousands.
 */
function isRandom(page: PageView): boolean {
  const words = Uint32Array.from(page);
  // Of random pages, one in four million has a zero among its words; of others, most.
  if (words.includes(0)) return false;
  const counts = new Uint32Array(256);
  for (const byte of new Uint8Array(words.buffer)) counts[byte] = (counts[byte] ?? 0) + 1;
  const expected = PAGE_SIZE / 256;
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  return chiSquare < MOST_CHI_SQUARE;
}

const MOST_CHI_SQUARE = 400;
