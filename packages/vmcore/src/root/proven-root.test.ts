import { describe, expectTypeOf, it } from 'vitest';
import type { ProvenRoot } from './proven-root.ts';

describe('proven root', () => {
  it('is not what a copy with changes is, to the type checker', () => {
    const changed = (root: ProvenRoot) => ({ ...root, levels: 5 as const });
    expectTypeOf<ReturnType<typeof changed>>().not.toExtend<ProvenRoot>();
    expectTypeOf<ProvenRoot>().toExtend<ProvenRoot>();
  });
});
