import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Severity } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { occurrencesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { extentsWithin, framesOfSection, isWithin } from '../within.ts';

/** What the parts of an image are aligned to. */
const HUGE_FRAMES = 512;

export const TEXT_WRITABLE: FindingKind = {
  id: 'heki/text-writable',
  title: "The kernel's text can be written",
  worst: 'critical',
  explanation:
    "A frame that holds the kernel's text by the image's layout is writable, and no mapping lets it be executed: text that was mapped elsewhere, or whose own mapping was changed.",
  attack: 'What is written there runs as soon as the address that should lead to it does so again.',
  legitimate: 'A kernel that is still booting.',
  advice:
    'Compare the address of the text with the frame that it leads to (heki translate), and the page-table entries with those of a sound boot.',
  *find(kernel) {
    const text = extentsWithin(kernel.extents, framesOfSection(kernel, kernel.sections.text));
    yield* occurrencesOf(kernel, text.filter(isWritableData), ({ pagesText, places }) => ({
      severity: 'critical',
      summary: `${pagesText} of the kernel's text can be written: ${places}.`,
    }));
  },
};

export const RODATA_WRITABLE: FindingKind = {
  id: 'heki/rodata-writable',
  title: 'Constants can be written',
  worst: 'high',
  explanation:
    "Constants of the kernel's image or of a module (system call table, function tables, what is constant after init) are writable through some mapping.",
  attack:
    'Function pointers there decide what the kernel calls: an attacker replaces one and needs no new code.',
  legitimate:
    'A kernel that is still booting, or rodata=off; a module between loading and the end of its init.',
  advice:
    'Boot without rodata=off. Find what gave write permission back: set_memory_rw on the address or on its alias in the direct map.',
  *find(kernel) {
    const constants = imageConstants(kernel).filter(isWritableData);
    const freed = freedTail(kernel, constants);
    const others = kernel.extents.filter(
      (extent) =>
        extent.mappingCount > 1 &&
        isWritableData(extent) &&
        (isModuleConstant(extent) || isReadOnlyBehind(kernel, extent)),
    );
    const sure = [...constants.filter((extent) => !freed.includes(extent)), ...others];
    for (const [part, severity] of [
      [sure, 'high'],
      [freed, 'medium'],
    ] as const satisfies readonly (readonly [readonly FrameExtent[], Severity])[]) {
      yield* occurrencesOf(kernel, part, ({ mappings, pagesText, places }) => {
        const isImage = mappings.some(({ region }) => region.startsWith('kernel '));
        const isModule = mappings.some(({ region }) => region === 'modules');
        const of = isImage ? "of the kernel's image" : isModule ? 'of modules' : 'elsewhere';
        return { severity, summary: `${pagesText} of constants ${of} can be written: ${places}.` };
      });
    }
  },
};

function isWritableData({ rights }: FrameExtent): boolean {
  return (rights & Rights.WRITE) !== 0 && (rights & Rights.EXECUTE) === 0;
}

function imageConstants(kernel: AuditedKernel): FrameExtent[] {
  const { rodata } = kernel.sections;
  return rodata === undefined ? [] : extentsWithin(kernel.extents, framesOfSection(kernel, rodata));
}

/**
 * Those of `constants` that may be something else: where permissions alone told the sections, what lies behind the constants up to the next
 * 2 MiB was freed, and may still be mapped read-only.
 */
function freedTail(kernel: AuditedKernel, constants: readonly FrameExtent[]): readonly FrameExtent[] {
  const { rodata, from } = kernel.sections;
  if (rodata === undefined || from !== 'page-tables') return [];
  const { end } = framesOfSection(kernel, rodata);
  let tail: number = end;
  let first = constants.length;
  while (constants[first - 1]?.end === tail) tail = constants[--first]?.start ?? tail;
  return end - tail < HUGE_FRAMES ? constants.slice(first) : [];
}

/** What is mapped read-only among the modules. */
function isModuleConstant({ mappings }: FrameExtent): boolean {
  return mappings.some(({ region, rights }) => region === 'modules' && rights === Rights.READ);
}

/**
 * What the image, a module or vmalloc may write, and the direct map not: Linux takes write permission from both together
 * (cpa_process_alias), and gives it back to both. Into a loaded crash kernel it writes VMCOREINFO.
 */
function isReadOnlyBehind({ crashKernel }: AuditedKernel, extent: FrameExtent): boolean {
  const { mappings } = extent;
  return (
    mappings.some(({ region, rights }) => region === 'direct map' && (rights & Rights.WRITE) === 0) &&
    mappings.some(({ region, rights }) => region !== 'direct map' && (rights & Rights.WRITE) !== 0) &&
    !(extent.end - extent.start === 1 && isWithin(crashKernel, extent))
  );
}
