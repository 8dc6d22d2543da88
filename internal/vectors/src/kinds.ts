import { counters } from './counters.ts';
import { eptRights } from './ept-rights.ts';
import { infoTlb } from './info-tlb.ts';
import { instructionSequences } from './instruction-sequences.ts';
import type { VectorKind } from './kind.ts';
import { npt } from './npt.ts';
import { pageLists } from './page-lists.ts';
import { paging } from './paging.ts';
import { twoStage } from './two-stage.ts';

/** Every kind that can be run: one line for each. */
export const kinds: readonly VectorKind[] = [
  paging,
  twoStage,
  npt,
  eptRights,
  counters,
  pageLists,
  infoTlb,
  instructionSequences,
];
