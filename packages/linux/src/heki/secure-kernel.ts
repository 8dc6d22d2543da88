import type { HekiSection, HekiSectionKind, HekiTextPatch } from '@heki/guest';
import { Errno } from '@heki/hypercall/errno';
import { addressOf, type Gfn, PAGE_SIZE, virtualFrameOf } from '@heki/physical-memory';
import { mappedFrames } from '../mm/mapped-frames.ts';
import type { MmState } from '../mm/mm-state.ts';
import type { VmArea } from '../mm/vm-area.ts';
import type { ModuleMemory } from '../modules/module-image.ts';
import { fail } from '../outcome.ts';
import { staticKeyPatches } from '../static-branches/site-patches.ts';
import type { TextPatch } from '../text/text-patch.ts';

/*
 * Where the kernel of LVBS calls the secure kernel that owns the policy: from the end of boot on nothing is protected on request, so
 * that modules, patches of text and kexec are asked for by what they are. Without a secure kernel nothing of this happens.
 */

/** The most that a patch of a site has. */
const MOST_PATCH_BYTES = 5;

const KIND: { readonly [type in ModuleMemory]: HekiSectionKind } = {
  text: 'text',
  data: 'data',
  rodata: 'rodata',
  ro_after_init: 'ro-after-init',
  init_text: 'init-text',
  init_data: 'init-data',
  init_rodata: 'init-rodata',
};

/** Runs of frames as sections, in their order. */
function sectionsOf(frames: readonly Gfn[], kind: HekiSectionKind): HekiSection[] {
  const sections: HekiSection[] = [];
  for (let first = 0; first < frames.length; ) {
    let count = 1;
    while (frames[first + count] === (frames[first] ?? 0) + count) count++;
    const start = addressOf(frames[first] ?? (0 as Gfn));
    sections.push({ start, end: (start + count * PAGE_SIZE) as typeof start, kind });
    first += count;
  }
  return sections;
}

/** A patch by the physical addresses of its site. */
function physicalPatch(kernel: MmState, { address, bytes }: TextPatch): HekiTextPatch {
  const offset = Number(address % BigInt(PAGE_SIZE));
  const pages = offset + bytes.length > PAGE_SIZE ? 2 : 1;
  const [first = 0 as Gfn, second] = mappedFrames(kernel, virtualFrameOf(address), pages);
  const start = addressOf(first);
  return {
    address: (start + offset) as typeof start,
    secondPage: second === undefined ? undefined : addressOf(second),
    bytes,
  };
}

/**
 * Before late init: tells what jump labels in the kernel's own text may become. What the secure kernel does not take, it will not
 * patch later.
 */
export function loadKernelPatches(kernel: MmState): void {
  const { heki, jumpLabels, emit } = kernel;
  const secure = heki?.hypervisor?.secureKernel;
  if (secure === undefined || jumpLabels.length === 0) return;
  const patches = staticKeyPatches(jumpLabels, true).map((patch) => physicalPatch(kernel, patch));
  const result = secure.loadPatches(patches);
  if (result !== 0) emit({ type: 'warning', text: `the secure kernel takes no patches: ${result}` });
}

/**
 * In load_module: has the parts compared and protected. The token by which the secure kernel knows the module, `undefined` without one.
 *
 * @param patches what its text will be changed into
 * @throws {KernelStop} when it is not what its author signed
 */
export function validateModule(
  kernel: MmState,
  name: string,
  areas: ReadonlyMap<ModuleMemory, VmArea>,
  patches: readonly TextPatch[],
): number | undefined {
  const secure = kernel.heki?.secureKernel;
  if (secure === undefined) return undefined;
  const sections = [...areas].flatMap(([type, { frames }]) => sectionsOf(frames, KIND[type]));
  const token = secure.validateModule(
    sections,
    patches.map((patch) => physicalPatch(kernel, patch)),
  );
  if (token > 0) return token;
  return fail(-token, `the secure kernel does not know module ${name}`);
}

/** Before a module's init memory is freed. @throws {KernelStop} when the secure kernel refuses */
export function freeModuleInit({ heki }: MmState, token: number | undefined): void {
  const result = token === undefined ? 0 : (heki?.secureKernel?.freeModuleInit(token) ?? 0);
  if (result !== 0) fail(-result, 'the secure kernel keeps the init memory of the module');
}

/** Before a module's memory is freed. @throws {KernelStop} when the secure kernel refuses */
export function unloadValidated({ heki }: MmState, token: number | undefined): void {
  const result = token === undefined ? 0 : (heki?.secureKernel?.unloadModule(token) ?? 0);
  if (result !== 0) fail(-result, 'the secure kernel keeps the module');
}

/**
 * In text_poke: has the secure kernel write. Whether it did; where it knows of no patch, the kernel may try itself.
 *
 * @throws {KernelStop} when it does not know the patch for this site
 */
export function patchText(kernel: MmState, patch: TextPatch): boolean {
  const secure = kernel.heki?.secureKernel;
  if (secure === undefined || patch.bytes.length > MOST_PATCH_BYTES) return false;
  const result = secure.patchText(physicalPatch(kernel, patch));
  if (result !== 0 && result !== -Errno.ENOENT) fail(-result, 'the secure kernel refuses the patch');
  return result === 0;
}

/** Before kexec: has the page that will run compared. @throws {KernelStop} when it is not what was signed */
export function validateKexec({ heki }: MmState, control: Gfn): void {
  const result = heki?.secureKernel?.validateKexec(sectionsOf([control], 'text')) ?? 0;
  if (result !== 0) fail(-result, 'the secure kernel does not know the image');
}
