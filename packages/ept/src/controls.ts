import type { CpuProfile, EptFeatures } from '@heki/x86';
import { EptError } from './error.ts';

/** The VM-execution controls that change what EPT does (SDM 3C 25.6.2, 25.6.3). Those left out are 0. */
export interface EptControls {
  /** Mode-based execute control for EPT: secondary control 22. */
  readonly modeBasedExecute?: boolean;
  /** EPT-violation #VE: secondary control 18. */
  readonly virtualizationException?: boolean;
  /** EPT paging-write: tertiary control 2. */
  readonly pagingWrite?: boolean;
  /** Guest-paging verification: tertiary control 3. */
  readonly guestPagingVerification?: boolean;
}

/** @throws {EptError} when the processor has no EPT */
export function eptFeatures(processor: CpuProfile): EptFeatures {
  if (processor.ept === undefined) throw new EptError(`processor ${processor.name} has no EPT`);
  return processor.ept;
}

/** @throws {EptError} when the processor has no EPT, or not what a control asks for */
export function checkControls(processor: CpuProfile, controls: EptControls): void {
  const features = eptFeatures(processor);
  for (const control of [
    'modeBasedExecute',
    'virtualizationException',
    'pagingWrite',
    'guestPagingVerification',
  ] as const) {
    if (controls[control] === true && !features[control]) {
      throw new EptError(`processor ${processor.name} does not have control ${control}`);
    }
  }
}
