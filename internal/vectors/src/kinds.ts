import type { VectorKind } from './kind.ts';

/** Every kind that can be run: one line for each. */
export const kinds: readonly VectorKind[] = [];
