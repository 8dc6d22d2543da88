import { createNpt, type NptFault } from '@heki/npt';
import type { Pfn } from '@heki/physical-memory';
import { AMD_ZEN4, type CpuProfile, CR4 } from '@heki/x86';
import type { VectorKind } from './kind.ts';
import type { TwoStageCase, TwoStageModel } from './two-stage-case.ts';
import { isCasesFile, runCasesFile } from './two-stage-file.ts';

/** Guest paging combined with AMD nested paging: 4-level nested tables, host EFER.NXE = 1, GMET off. */
export const npt: VectorKind = {
  matches: (path) => isCasesFile(path, 'npt'),
  run: (path) => runCasesFile(path, modelOf),
};

function modelOf(vector: TwoStageCase): TwoStageModel<NptFault> {
  const { ncr3, gigabytePages, maxPhysicalAddressBits } = vector;
  // Nor has this emulator CET: see two-stage.
  const processor: CpuProfile = {
    ...AMD_ZEN4,
    cr4: AMD_ZEN4.cr4 & ~CR4.CET,
    gigabytePages,
    maxPhysicalAddressBits,
  };
  return {
    processor,
    secondLevel:
      ncr3 === undefined
        ? undefined
        : (memory) => createNpt({ memory, root: Number(ncr3 >> 12n) as Pfn, processor }),
    describeFault: (fault) =>
      fault.kind === 'nested-page-fault'
        ? `npf info1=${fault.info1.toString(16)} info2=${fault.gpa.toString(16)}`
        : `${fault.kind} gpa=${fault.gpa.toString(16)}`,
  };
}
