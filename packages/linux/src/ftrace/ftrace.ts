import { Errno } from '@heki/hypercall/errno';
import { type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { FTRACE_CALLER } from '../code/signed-sites.ts';
import type { VmArea } from '../mm/vm-area.ts';
import { vfree } from '../mm/vmalloc.ts';
import { fail, KernelStop } from '../outcome.ts';
import { allocateExecutable } from '../text/executable-page.ts';
import { callTo, NOP5 } from '../text/instructions.ts';
import { textPokeBatch } from '../text/text-poke-batch.ts';
import type { TextState } from '../text/text-state.ts';

/** What ftrace keeps. */
export interface Ftrace {
  /** Traced functions: where each calls. */
  readonly traced: Set<VirtualAddress>;
  /** The page of the trampoline, while anything is traced. */
  trampoline: VmArea | undefined;
}

/** What tracing needs: its own state, and that of text. */
export interface FtraceState extends TextState {
  readonly ftrace: Ftrace;
}

/** Nothing is traced. */
export function createFtrace(): Ftrace {
  return { traced: new Set(), trampoline: undefined };
}

/** A return: the trampoline's code, as far as anybody looks. */
const RET = Uint8Array.of(0xc3);

/**
 * Traces functions: their first instructions, no-ops, become calls of a trampoline, which is made for the first
 * (`create_trampoline`). Sites are addresses of such no-ops.
 *
 * @throws {KernelStop} -ENOMEM, -EBUSY for a traced one, Heki's refusal, or an access that does not complete. After a refusal the sites that
 * call the trampoline nevertheless are traced: Linux, which cannot be refused, has nothing like it.
 */
export function ftraceEnable(kernel: FtraceState, sites: readonly VirtualAddress[]): void {
  const { ftrace } = kernel;
  const busy = sites.find((site) => ftrace.traced.has(site));
  if (busy !== undefined) fail(Errno.EBUSY, `0x${busy.toString(16)} is traced already`);
  const fresh = ftrace.trampoline === undefined;
  const target = tracer(kernel);
  try {
    textPokeBatch(
      kernel,
      sites.map((address) => ({ address, bytes: callTo(address, target) })),
    );
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') {
      // Vectors of sites that went before the refusal stay patched, and call the trampoline.
      for (const site of sites) if (calls(kernel, site, target)) ftrace.traced.add(site);
      if (fresh && ftrace.traced.size === 0) freeTrampoline(kernel);
    }
    throw stop;
  }
  for (const site of sites) ftrace.traced.add(site);
}

/** Makes no-ops of the calls again; the trampoline goes with the last. @throws {KernelStop} as {@link ftraceEnable}, -ENOENT */
export function ftraceDisable(kernel: FtraceState, sites: readonly VirtualAddress[]): void {
  const { traced } = kernel.ftrace;
  const unknown = sites.find((site) => !traced.has(site));
  if (unknown !== undefined) fail(Errno.ENOENT, `0x${unknown.toString(16)} is not traced`);
  textPokeBatch(
    kernel,
    sites.map((address) => ({ address, bytes: NOP5 })),
  );
  for (const site of sites) traced.delete(site);
  if (traced.size === 0) freeTrampoline(kernel);
}

/** `ftrace_release_mod`: the text with the sites is gone. The trampoline stays until somebody traces nothing any more. */
export function forgetFtraceSites({ ftrace }: FtraceState, start: VirtualAddress, end: VirtualAddress): void {
  for (const site of ftrace.traced) if (site >= start && site < end) ftrace.traced.delete(site);
}

/** What traced functions call: a trampoline of their own, or, where code is sealed, `ftrace_caller` of the kernel's. */
function tracer(kernel: FtraceState): VirtualAddress {
  const { ftrace, sealed, image } = kernel;
  if (sealed !== undefined) return (image.address('_text') + BigInt(FTRACE_CALLER)) as VirtualAddress;
  ftrace.trampoline ??= allocateExecutable(kernel, 1, RET);
  return virtualAddressOf(ftrace.trampoline.start);
}

function calls({ memory }: FtraceState, site: VirtualAddress, target: VirtualAddress): boolean {
  const call = callTo(site, target);
  return memory.load(site, call.length).every((byte, i) => byte === call[i]);
}

function freeTrampoline(kernel: FtraceState): void {
  const { trampoline } = kernel.ftrace;
  kernel.ftrace.trampoline = undefined;
  if (trampoline !== undefined) vfree(kernel, trampoline);
}
