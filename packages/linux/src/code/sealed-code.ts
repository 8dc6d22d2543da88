import type { HekiCodeAuthority, HekiCodePart, HekiSiteState } from '@heki/guest';
import { Errno } from '@heki/hypercall/errno';
import { type Gfn, hex, PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { directAddress } from '../layout/layout.ts';
import type { VmArea } from '../mm/vm-area.ts';
import { MODULE_MEMORY, type ModuleImage, type ModuleMemory } from '../modules/module-image.ts';
import { fail } from '../outcome.ts';
import { trampolineText } from '../smp/trampoline.ts';
import { OUT_OF_LINE } from '../static-branches/site-patches.ts';
import { callTo, jumpTo, NOP5 } from '../text/instructions.ts';
import type { TextPatch } from '../text/text-patch.ts';
import type { TextState } from '../text/text-state.ts';
import type { NumberedSite, SealedCode } from './code-state.ts';
import { FTRACE_CALLER, moduleSites, type SignedSite } from './signed-sites.ts';

/*
 * What a kernel does whose code has an owner outside of it: it names states. In Linux that is text_poke_bp_batch, the layout of modules,
 * and the end of late init; the functions below are called there.
 */

/** The copying code of kexec among the kernel's templates. */
const RELOCATE_KERNEL = 0;
const LOCK_PREFIX = 0xf0;

/** Whoever is asked for the seal at the end of late init; `undefined` where that does not protect, or nobody owns code. */
export function ownerOfCode({ heki, hekiInit }: TextState): HekiCodeAuthority | undefined {
  return hekiInit.late?.outcome === 'protected' ? heki?.hypervisor?.codeAuthority : undefined;
}

/**
 * At the end of late init. A kernel whose seal is refused goes on without one; it says so.
 *
 * @throws {KernelStop} when its own text cannot be read
 */
export function sealCode(kernel: TextState): void {
  const { hekiInit, image, layout, build, signedSites, emit } = kernel;
  const authority = ownerOfCode(kernel);
  if (authority === undefined) return;
  const start = image.address('_text');
  const first = image.guestFrame(image.frame('_text'));
  const { textStart, textEnd } = build.trampoline;
  const realMode = trampolineText(kernel);
  const parts: HekiCodePart[] = [
    { address: start, frames: framesFrom(first, image.frame('_etext') - image.frame('_text')) },
    { address: directAddress(layout, realMode), frames: framesFrom(realMode, textEnd - textStart) },
  ];
  const states = signedSites.flatMap(({ kind, offset, length }, index): HekiSiteState[] => {
    const address = (start + BigInt(offset)) as VirtualAddress;
    const state = stateOf(kernel, kind, { address, bytes: kernel.memory.load(address, length) });
    return state === 0 ? [] : [{ site: index, state }];
  });
  const result = authority.seal(parts, states);
  hekiInit.seal = result;
  emit({ type: 'code-sealed', result });
  if (result <= 0) {
    emit({ type: 'warning', text: `the owner of the code does not seal it: ${result}` });
    return;
  }
  emit({ type: 'log', text: 'heki: Kernel code sealed' });
  const sealed: SealedCode = { authority, sites: new Map(), texts: new Map() };
  remember(sealed, result, start, image.frame('_etext') - image.frame('_text'), signedSites);
  kernel.sealed = sealed;
}

/**
 * `text_poke_bp_batch` where code is sealed: the sites change with every processor stopped, all that go in one request or none. Nothing is
 * written here, and no int3 stands anywhere meanwhile.
 *
 * @throws {KernelStop} -EPERM for what is no site, or the owner's refusal
 */
export function pokeSites(kernel: TextState, sealed: SealedCode, patches: readonly TextPatch[]): void {
  const images = new Map<number, HekiSiteState[]>();
  for (const patch of patches) {
    const site = siteAt(sealed, patch.address, patch.bytes);
    const states = images.get(site.image) ?? [];
    images.set(site.image, states);
    states.push({ site: site.site, state: stateOf(kernel, site.kind, patch) });
  }
  for (const [image, states] of images) {
    const result = sealed.authority.poke(image, states);
    if (result !== 0) fail(-result, `the owner of the code refuses the change: ${result}`);
  }
  for (const { address, bytes } of patches) {
    const found = kernel.memory.load(address, bytes.length);
    if (found.some((byte, index) => byte !== bytes[index]))
      fail(Errno.EFAULT, `BUG: the text at ${hex(address)} is not what was asked for`);
    kernel.emit({ type: 'text-poke', address, bytes: bytes.length, alias: undefined });
  }
}

/** The site that a patch is of. @throws {KernelStop} -EPERM when it is none */
function siteAt({ sites }: SealedCode, address: VirtualAddress, bytes: Uint8Array): NumberedSite {
  const site = sites.get(address);
  if (site?.length === bytes.length) return site;
  return fail(Errno.EPERM, `no site of signed code is at ${hex(address)}: sealed text changes nowhere else`);
}

/**
 * In text_poke where code is sealed: a whole site changes its state, and nothing else of sealed text is written. Whether that was done; text that
 * nobody owns is left to the kernel.
 *
 * @throws {KernelStop} -EPERM, or the owner's refusal
 */
export function pokeSealed(kernel: TextState, patch: TextPatch): boolean {
  const { sealed } = kernel;
  if (sealed === undefined || !isSealedText(sealed, patch.address)) return false;
  pokeSites(kernel, sealed, [patch]);
  return true;
}

/** Whether only the owner writes there. */
export function isSealedText({ texts }: SealedCode, address: VirtualAddress): boolean {
  const at = BigInt.asUintN(64, address);
  for (const { start, end } of texts.values()) if (at >= start && at < end) return true;
  return false;
}

/** Whether a function begins there that can be traced. */
export function isTraceable({ sites }: SealedCode, address: VirtualAddress): boolean {
  return sites.get(address)?.kind === 'fentry';
}

/** The state that a site is in with these bytes. @throws {KernelStop} -EPERM for bytes that are no state of it */
function stateOf({ image }: TextState, kind: SignedSite['kind'], { address, bytes }: TextPatch): number {
  const is = (state: Uint8Array): boolean => bytes.every((byte, index) => byte === state[index]);
  const text = image.address('_text');
  if (kind === 'lock') return bytes[0] === LOCK_PREFIX ? 0 : 1;
  if (is(NOP5)) return 0;
  if (kind === 'jump-label' && is(jumpTo(address, (address + OUT_OF_LINE) as VirtualAddress))) return 1;
  if (kind === 'fentry' && is(callTo(address, (text + BigInt(FTRACE_CALLER)) as VirtualAddress))) return 1;
  // State 1 of a static call returns 0, which this kernel does not use.
  if (kind === 'static-call' && is(callTo(address, text))) return 2;
  return fail(Errno.EPERM, `${hex(address)}: a ${kind} has no such state`);
}

/**
 * `load_module` where code is sealed: the file lies in pages of its own for the owner to copy, and the owner lays out, relocates and writes what
 * is in `areas`, of which it takes cleared pages alone. The number of the image.
 *
 * @throws {KernelStop} -ENOMEM, or the owner's refusal
 */
export function loadSealed(
  kernel: TextState,
  { authority, sites, texts }: SealedCode,
  image: ModuleImage,
  areas: ReadonlyMap<ModuleMemory, VmArea>,
): number {
  const file = kernel.moduleFile?.(image) ?? fail(Errno.ENOEXEC, `module ${image.name} has no file`);
  return withPages(kernel, file, (pages) => {
    const parts = MODULE_MEMORY.flatMap((type): HekiCodePart[] => {
      const area = areas.get(type);
      if (area === undefined) return [];
      kernel.memory.store(virtualAddressOf(area.start), new Uint8Array(area.pages * PAGE_SIZE));
      return [{ address: virtualAddressOf(area.start), frames: area.frames }];
    });
    const result = authority.load({ bytes: file.length, frames: pages }, parts);
    if (result <= 0) return fail(-result, `the owner of the code refuses module ${image.name}: ${result}`);
    const text = areas.get('text');
    if (text !== undefined)
      remember({ sites, texts }, result, virtualAddressOf(text.start), text.pages, moduleSites(image));
    return result;
  });
}

/**
 * What is done while `bytes` lie in pages of their own, for the owner to copy.
 *
 * @throws {KernelStop} -ENOMEM, or as `use`
 */
export function withPages<Result>(
  kernel: TextState,
  bytes: Uint8Array,
  use: (pages: readonly Gfn[]) => Result,
): Result {
  const pages: Gfn[] = [];
  try {
    for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
      const frame =
        kernel.pages.allocate() ?? fail(Errno.ENOMEM, 'no page for what the owner of the code reads');
      pages.push(frame);
      kernel.memory.store(directAddress(kernel.layout, frame), bytes.subarray(at, at + PAGE_SIZE));
    }
    return use(pages);
  } finally {
    for (const frame of pages) kernel.pages.free(frame);
  }
}

/** Before a module's init memory is freed. @throws {KernelStop} the owner's refusal */
export function initDoneSealed({ sealed }: TextState, image: number | undefined): void {
  const result = image === undefined ? 0 : (sealed?.authority.initDone(image) ?? 0);
  if (result !== 0) fail(-result, 'the owner of the code keeps the init memory of the module');
}

/** Before a module's memory is freed. @throws {KernelStop} the owner's refusal: something leads into it */
export function retireSealed({ sealed }: TextState, image: number | undefined): void {
  if (sealed === undefined || image === undefined) return;
  const result = sealed.authority.retire(image);
  if (result !== 0) fail(-result, `the owner of the code keeps the module: ${result}`);
  sealed.texts.delete(image);
  for (const [address, site] of sealed.sites) if (site.image === image) sealed.sites.delete(address);
}

/** The control page of kexec, of the kernel's own code. @throws {KernelStop} the owner's refusal */
export function kexecPage({ layout }: TextState, { authority }: SealedCode, control: Gfn): void {
  const result = authority.trampoline(RELOCATE_KERNEL, 0, control, directAddress(layout, control));
  if (result <= 0) fail(-result, `the owner of the code gives no page for kexec: ${result}`);
}

/** Keeps which text an image has that only the owner writes, and the sites in it. */
export function remember(
  { sites, texts }: Pick<SealedCode, 'sites' | 'texts'>,
  image: number,
  start: VirtualAddress,
  pages: number,
  signed: readonly SignedSite[],
): void {
  const from = BigInt.asUintN(64, start);
  texts.set(image, { start: from, end: from + BigInt(pages * PAGE_SIZE) });
  for (const [site, { offset, kind, length }] of signed.entries())
    sites.set((start + BigInt(offset)) as VirtualAddress, { image, site, kind, length });
}

function framesFrom(start: Gfn, count: number): Gfn[] {
  return Array.from({ length: count }, (_, index) => (start + index) as Gfn);
}
