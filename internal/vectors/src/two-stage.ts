import { createEpt, type EptFault } from '@heki/ept';
import { type CpuProfile, CR4, INTEL_VT_RP } from '@heki/x86';
import type { VectorKind } from './kind.ts';
import type { TwoStageCase, TwoStageModel } from './two-stage-case.ts';
import { isCasesFile, runCasesFile } from './two-stage-file.ts';

/** Guest paging combined with EPT, and a part without EPT. The readable and the fast walk must both give the answer. */
export const twoStage: VectorKind = {
  matches: (path) => isCasesFile(path, 'two-stage'),
  run: (path) => runCasesFile(path, modelOf),
};

function modelOf(vector: TwoStageCase): TwoStageModel<EptFault> {
  const { eptp, la } = vector;
  const processor = profileOf(vector);
  return {
    processor,
    secondLevel:
      eptp === undefined
        ? undefined
        : (memory) =>
            createEpt({ memory, eptp, processor, controls: { modeBasedExecute: vector.modeBasedExecute } }),
    describeFault: (fault) => {
      const gpa = fault.gpa.toString(16);
      if (fault.kind !== 'ept-violation') {
        return `${fault.kind === 'ept-misconfiguration' ? 'ept-misconfig' : fault.kind} gpa=${gpa}`;
      }
      return `ept-violation qual=${fault.qualification.toString(16)} gpa=${gpa} gla=${la.toString(16)}`;
    },
  };
}

/** The emulator that answered has no CET, and sets the dirty flag of a leaf beside R/W = 0 (SDM 3A 4.8). */
function profileOf(vector: TwoStageCase): CpuProfile {
  const { ept, ...rest } = INTEL_VT_RP;
  const { gigabytePages, maxPhysicalAddressBits, executeOnly, advancedViolationInfo } = vector;
  return {
    ...rest,
    cr4: rest.cr4 & ~CR4.CET,
    gigabytePages,
    maxPhysicalAddressBits,
    ept: ept && { ...ept, gigabytePages, executeOnly, advancedViolationInfo },
  };
}
