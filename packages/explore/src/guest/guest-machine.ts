import type { GuestDefectId } from '@heki/guest';
import type { Gfn } from '@heki/physical-memory';
import type { DefectChoices } from '@heki/series';
import type { Machine, Property } from '../machine.ts';
import { allowedBy, allowsTooMuch, GUEST_ACTIONS, type GuestAction } from './guest-actions.ts';
import { EXEC, FRAMES, READ, TinyKernel, WRITE } from './tiny-kernel.ts';

const PROPERTIES: readonly Property[] = [
  { id: 'P5', says: 'the counters of a frame are what the page tables say' },
  { id: 'GRANT', says: 'the hypervisor was told what the mappings allow, no more and no less' },
  { id: 'EARLY', says: 'at no moment it was told to allow more than the mappings do' },
  { id: 'TOLD', says: 'a change that was refused says so, and one that was not does not' },
  { id: 'LEAK', says: 'pages for lists come back' },
  { id: 'SAID', says: 'no kernel with a page that is writable and executable is called protected' },
  { id: 'P8', says: 'the kernel can change what it has allocated, and waits for nobody' },
];

/** A point of a story: the story itself. */
export interface GuestState {
  readonly before: GuestState | undefined;
  readonly action: GuestAction | undefined;
  readonly key: string;
  readonly broken: readonly string[];
}

/**
 * The Heki core in a kernel of a few pages: mappings come, change and go, code is patched, late init is done at any time, while pages for lists
 * run out and the hypervisor refuses. Every state is reached by telling its story to a new kernel.
 */
export function guestMachine(defects: DefectChoices<GuestDefectId> = {}): Machine<GuestState, GuestAction> {
  const stories = (state: GuestState | undefined): GuestAction[] => {
    const told: GuestAction[] = [];
    for (let at = state; at?.action !== undefined; at = at.before) told.push(at.action);
    return told.reverse();
  };
  const tell = (before: GuestState | undefined, action: GuestAction | undefined): GuestState | undefined => {
    const kernel = new TinyKernel(defects);
    for (const done of stories(before)) done.run(kernel, new Set());
    const fallen = new Set<string>();
    if (action !== undefined && !action.run(kernel, fallen)) return undefined;
    judge(kernel, action, fallen);
    return { before, action, key: keyOf(kernel), broken: [...fallen] };
  };
  return {
    name: 'guest',
    properties: PROPERTIES,
    initial: () =>
      tell(undefined, undefined) ?? { before: undefined, action: undefined, key: '', broken: [] },
    successors(state, visit, line) {
      for (const action of GUEST_ACTIONS) {
        if (line !== undefined && action.name !== line) continue;
        const next = tell(state, action);
        if (next !== undefined) visit(action, next);
      }
    },
    key: ({ key, broken }) => `${key} ${broken.join()}`,
    broken: ({ broken }) => broken,
    describe: ({ name }) => name,
  };
}

/** All that decides what can happen next: the tables, the counters, and what the hypervisor was told. */
function keyOf(kernel: TinyKernel): string {
  const { heki, told, late, leaked } = kernel;
  const counters = FRAMES.map((frame) => {
    const { read, write, execute } = heki.counters(frame as Gfn) ?? {};
    return `${read} ${write} ${execute} ${told.get(frame)}`;
  });
  return `${kernel.tables()} ${counters.join()} ${late?.outcome} ${heki.protectsMemory} ${leaked}`;
}

function judge(kernel: TinyKernel, action: GuestAction | undefined, fallen: Set<string>): void {
  const { heki, told, late } = kernel;
  const isProtected = late?.outcome === 'protected';
  // The direct map is counted by protection, and not before.
  const direct = heki.protectsMemory;
  for (const frame of FRAMES) {
    const mappings = kernel.mappings(frame, direct);
    const count = (bit: number): number => mappings.filter((permissions) => (permissions & bit) !== 0).length;
    const { read = 0, write = 0, execute = 0 } = heki.counters(frame as Gfn) ?? {};
    if (read !== count(READ) || write !== count(WRITE) || execute !== count(EXEC)) fallen.add('P5');
    if (!isProtected) continue;
    if (((told.get(frame) ?? READ | WRITE) & 7) !== allowedBy(kernel, frame)) fallen.add('GRANT');
  }
  if (allowsTooMuch(kernel)) fallen.add('EARLY');
  if (kernel.leaked > 0) fallen.add('LEAK');
  if (kernel.deadlocked) fallen.add('P8');
  const exposed = FRAMES.some((frame) => (allowedBy(kernel, frame) & (WRITE | EXEC)) === (WRITE | EXEC));
  if (exposed && kernel.saidProtected && action?.about === 'late-init') fallen.add('SAID');
  // Text of the image is final: what would change it is refused.
  if (isProtected && kernel.failed && action?.about === 'allocated' && action.trouble === 'nothing')
    fallen.add('P8');
}
