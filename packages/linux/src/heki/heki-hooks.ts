import {
  type MappingChange as HekiChange,
  type HekiGuest,
  type ProtectionBits,
  permissionChange,
} from '@heki/guest';
import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import type { HekiHook } from '../event.ts';
import type { AttributeChange } from '../mm/attribute-change.ts';
import { type LeafTransition, reportTransitions } from '../mm/leaf-changes.ts';
import type { MmState } from '../mm/mm-state.ts';
import { unchangedLeaves } from '../mm/unchanged-leaves.ts';

/**
 * Where Linux calls Heki. Each gives 0, or the negative error number with which the caller gives up; a core with
 * B-G3, as published, never refuses.
 */
type Hooked = Pick<MmState, 'heki' | 'emit' | 'defects'>;

function call(
  { heki, emit }: Hooked,
  hook: HekiHook,
  start: VirtualFrame,
  end: VirtualFrame,
  run: (heki: HekiGuest) => number,
): number {
  if (heki === undefined) return 0;
  const result = run(heki);
  emit({ type: 'heki-hook', hook, range: { start, end }, result });
  return result;
}

/** After mappings were made (vmap_range_noflush, vmap_small_pages_range_noflush; Heki v2 15/19). */
export function hekiMap(kernel: Hooked, start: VirtualFrame, end: VirtualFrame): number {
  return call(kernel, 'map', start, end, (heki) => heki.map(start, end));
}

/** Before mappings are taken away (__vunmap_range_noflush; Heki v2 15/19). */
export function hekiUnmap(
  kernel: Hooked,
  change: HekiChange | undefined,
  start: VirtualFrame,
  end: VirtualFrame,
): number {
  return call(kernel, 'unmap', start, end, () => change?.unmap(start, end) ?? 0);
}

/** Before permissions change (set_memory_*; Heki v2 16/19). Without B-G4 {@link hekiChanges} tells instead. */
export function hekiUpdate(
  kernel: Hooked,
  change: HekiChange | undefined,
  start: VirtualFrame,
  end: VirtualFrame,
  operation: 'set' | 'clear',
  bits: ProtectionBits,
): number {
  if (!kernel.defects['B-G4']) return 0;
  const { set, clear } = permissionChange(operation, bits);
  return call(kernel, 'update', start, end, () => change?.update(start, end, set, clear) ?? 0);
}

/**
 * After change_page_attr has failed, of which {@link hekiUpdate} had told: without B-G12, that the leaves that were not changed
 * are as they were. The caller fails anyway, so the result is not used.
 */
export function hekiUpdateFailed(
  { heki, emit, defects, tables }: Hooked & Pick<MmState, 'tables'>,
  hekiChange: HekiChange | undefined,
  start: VirtualFrame,
  end: VirtualFrame,
  change: AttributeChange,
): void {
  if (heki === undefined || hekiChange === undefined || !defects['B-G4'] || defects['B-G12']) return;
  const result = reportTransitions(heki, hekiChange, unchangedLeaves(tables, start, end, change));
  emit({ type: 'heki-hook', hook: 'update-failed', range: { start, end }, result });
  hekiChange.inForce();
}

/** The mend of B-G4: leaves of all kinds, before they change. */
export function hekiChanges(
  { heki, emit, defects }: Hooked,
  change: HekiChange | undefined,
  transitions: readonly LeafTransition[],
): number {
  if (heki === undefined || change === undefined || defects['B-G4'] || transitions.length === 0) return 0;
  const result = reportTransitions(heki, change, transitions);
  emit({ type: 'heki-hook', hook: 'change', leaves: transitions.length, result });
  return result;
}

/** After page tables have changed: the mend of B-G22. */
export function hekiInForce({ emit }: Hooked, change: HekiChange | undefined): number {
  const result = change?.inForce() ?? 0;
  if (result !== 0) emit({ type: 'heki-hook', hook: 'in-force', result });
  return result;
}

/** Around a text poke: before the poking lock is taken, and after interrupts are on again (Heki v2 17/19). */
export function hekiTextPoke(
  { heki, emit }: Hooked,
  hook: 'text-poke-start' | 'text-poke-end',
  frames: readonly Gfn[],
): number {
  if (heki === undefined) return 0;
  const result = hook === 'text-poke-start' ? heki.textPokeStart(frames) : heki.textPokeEnd(frames);
  emit({ type: 'heki-hook', hook, frames, result });
  return result;
}
