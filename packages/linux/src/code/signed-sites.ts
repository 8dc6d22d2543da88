import { PAGE_SIZE } from '@heki/physical-memory';
import type { ModuleImage } from '../modules/module-image.ts';
import { JUMP_LENGTH } from '../text/instructions.ts';

/** What of the text of a signed image may change, and how: `__jump_table`, `__mcount_loc`, `.static_call_sites`, `.smp_locks`. */
export interface SignedSite {
  readonly kind: 'jump-label' | 'fentry' | 'static-call' | 'lock';
  /** From the start of the text. */
  readonly offset: number;
  readonly length: 1 | 5;
  /** Of the static key, or what else decides; sites that share one change together. */
  readonly key: string;
}

/** Sites lie so far apart. */
const DISTANCE = 64;
const PER_PAGE = PAGE_SIZE / DISTANCE;
/** Of the first page: the jump label that a tracing key has. */
const TRACING = PER_PAGE - 2;

/** Where `ftrace_caller` lies in the kernel's text: what traced functions call where no trampoline can be made. */
export const FTRACE_CALLER: number = 2 * PAGE_SIZE;

/** The key of an LSM hook, which no manifest lets anybody change. */
export const LSM_KEY = 'security_hook_active_file_open_0';
/** The key of a trace point. */
const TRACING_KEY = 'tracepoint_sched_switch';

/**
 * The sites in the text of a model kernel, in the order of their numbers: no-ops of five bytes at the beginnings of functions in the first page,
 * a jump label of a trace point among them, and one that guards an LSM hook in the second.
 */
export const KERNEL_SITES: readonly SignedSite[] = [
  ...Array.from({ length: PER_PAGE }, (_, index): SignedSite => {
    const at = { offset: index * DISTANCE, length: JUMP_LENGTH } as const;
    return index === TRACING
      ? { ...at, kind: 'jump-label', key: TRACING_KEY }
      : { ...at, kind: 'fentry', key: 'ftrace' };
  }),
  { kind: 'jump-label', offset: PAGE_SIZE + 0x800, length: JUMP_LENGTH, key: LSM_KEY },
];

/** The sites in a module's text, in the order of their numbers. */
export function moduleSites({ name, sites = {} }: ModuleImage): SignedSite[] {
  const { jumpLabels = [], staticCalls = [], ftrace = [], traceable = [], lockPrefixes = [] } = sites;
  const all = (
    kind: SignedSite['kind'],
    offsets: readonly number[],
    length: 1 | 5,
    key: string,
  ): SignedSite[] => offsets.map((offset) => ({ kind, offset, length, key }));
  return [
    ...all('jump-label', jumpLabels, JUMP_LENGTH, `${name}: static key`),
    ...all('static-call', staticCalls, JUMP_LENGTH, `${name}: static call`),
    ...all('fentry', [...ftrace, ...traceable], JUMP_LENGTH, 'ftrace'),
    ...all('lock', lockPrefixes, 1, 'lock'),
  ];
}
