import fc from 'fast-check';
import type { Life } from '../life.ts';
import type { Step } from '../schema/step-schema.ts';

/** A step that can be taken whatever came before: what it is about is chosen when it is taken. */
export interface Choice {
  readonly kind: (typeof KINDS)[number];
  /** Which module, program, area or processor. */
  readonly which: number;
  /** Sizes and variants. */
  readonly how: number;
  /** The processor that the kernel is on. */
  readonly cpu: number;
}

const KINDS = [
  'load-module',
  'unload-module',
  'load-bpf',
  'unload-bpf',
  'vmalloc',
  'vfree',
  'set-memory',
  'trace',
  'untrace',
  'probe',
  'unprobe',
  'static-key',
  'cpu-down',
  'cpu-up',
  'exhaust-memory',
  'release-memory',
  'balloon',
  'plug-memory',
  'suspend',
  'hostile-list',
] as const;

const ATTRIBUTES = ['ro', 'rw', 'rox', 'x', 'nx'] as const;

/** Lives in machines with one section of memory to plug in, of up to `length` steps, half as many on average; shorter and simpler ones when they shrink. */
export function randomLives(length: number, processors: number): fc.Arbitrary<readonly Choice[]> {
  const choice = fc.record({
    kind: fc.constantFrom(...KINDS),
    which: fc.nat(3),
    how: fc.nat(63),
    cpu: fc.nat(processors - 1),
  });
  return fc.array(choice, { minLength: 1, maxLength: length, size: 'max' });
}

/** The step that a choice means in `life`; `undefined` where there is nothing to take it on. */
export function stepOf(life: Life, { kind, which, how }: Choice, serial: number): Step | undefined {
  const pick = <Value>(names: Iterable<Value>): Value | undefined => {
    const all = [...names];
    return all[which % Math.max(all.length, 1)];
  };
  const named = <Kind extends Step['do']>(
    name: string | undefined,
    make: (name: string) => Step & { do: Kind },
  ) => (name === undefined ? undefined : make(name));
  const place = pick(['kernel', ...life.modules.keys()]) ?? 'kernel';
  switch (kind) {
    case 'load-module':
      return {
        do: kind,
        name: `m${serial}`,
        text: 1 + (how % 4),
        rodata: 1 + (which % 2),
        staticCalls: how % 3,
      };
    case 'unload-module':
      return named(pick(life.modules.keys()), (name) => ({ do: kind, name }));
    case 'load-bpf':
      return { do: kind, name: `p${serial}`, size: 1 + 100 * how };
    case 'unload-bpf':
      return named(pick(life.programs.keys()), (name) => ({ do: kind, name }));
    case 'vmalloc':
      return { do: kind, name: `a${serial}`, pages: 1 + (how % 8) };
    case 'vfree':
      return named(pick(life.areas.keys()), (name) => ({ do: kind, name }));
    case 'set-memory':
      return named(pick(life.areas.keys()), (name) => ({
        do: kind,
        name,
        what: ATTRIBUTES[how % ATTRIBUTES.length] ?? 'ro',
      }));
    case 'trace':
      return { do: kind, on: place, functions: 1 + (how % 3) };
    case 'untrace':
      return life.traced.length === 0 ? undefined : { do: kind };
    case 'probe':
      return { do: kind, on: place, optimized: how % 2 === 0 };
    case 'unprobe':
    case 'static-key':
      return kind === 'unprobe' ? { do: kind, on: place } : { do: kind, on: place, enabled: how % 2 === 0 };
    case 'cpu-down':
    case 'cpu-up':
      return { do: kind, cpu: 1 + (which % 2) };
    case 'exhaust-memory':
      return { do: kind, leave: how };
    case 'release-memory':
    case 'suspend':
      return { do: kind };
    case 'balloon':
      return { do: kind, pages: 1 + how };
    case 'plug-memory':
      return { do: life.plugged.length === 0 ? 'plug-memory' : 'unplug-memory' };
    case 'hostile-list':
      return undefined;
  }
}
