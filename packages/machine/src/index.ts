export type { AskedRights } from './attacks/ask.ts';
export { type Attack, type AttackVerdict, isAttackName } from './attacks/attack.ts';
export type {
  AccessedBytes,
  AttackOutcome,
  AttackResult,
  AttackStep,
  BrokenRule,
  Defence,
} from './attacks/attack-result.ts';
export {
  type Attacker,
  type Attempt,
  EXECUTE_DISABLE,
  type FoundEntry,
  WRITABLE,
} from './attacks/attacker.ts';
export { ATTACKS, type AttackName, SNAPSHOT_ATTACKS } from './attacks/attacks.ts';
export { type AttackClaim, type Claimant, claims, coversPage } from './attacks/claim.ts';
export { type ControlRegisterBits, keptBits } from './attacks/kept-bits.ts';
export { runAttacks } from './attacks/run-attacks.ts';
export type { RanCode, RanInstruction } from './attacks/run-code.ts';
export { type Comparison, type Standing, standingOf } from './attacks/standing.ts';
export { findTargets, type KernelTargets } from './attacks/targets.ts';
export { judge, notTried, storeAndLook, withEditedEntries } from './attacks/technique.ts';
export { defenceOf, exceptionText, explainStep } from './attacks/verdict.ts';
export { createMachine } from './create-machine.ts';
export { type MachineDefectId, machineDefects, snapshotDefects } from './defects.ts';
export { describeTraceEvent } from './describe.ts';
export { MachineError } from './error.ts';
export type { MachineEvent, TraceEvent } from './event.ts';
export { machineMemory } from './layout.ts';
export type { CodeSigner } from './linux/code-signer.ts';
export { createLinuxMachine } from './linux/create-linux-machine.ts';
export type { Interleave, LinuxMachine, LinuxMachineOptions } from './linux/linux-machine.ts';
export type { LinkedModule, ModuleLinks } from './linux/module-file.ts';
export { type PackagedKernelOptions, packagedKernel } from './linux/packaged-kernel.ts';
export { pcMemoryMap } from './linux/pc-memory-map.ts';
export {
  createSigningAuthority,
  type SignedModule,
  type SigningAuthority,
} from './linux/signing-authority.ts';
export type { HekiDriver, KernelWithoutTables, Machine, MachineOptions } from './machine.ts';
export { type CollectiveRights, collectiveRights, rightsOfFrame } from './rights/collective-rights.ts';
export {
  type ComparedRange,
  compareRights,
  createRightsTally,
  type RightsComparison,
} from './rights/compare-rights.ts';
export { grantedRights, KernelRights, kernelRightsText } from './rights/kernel-rights.ts';
export { type RamOutsideDirectMap, ramOutsideDirectMap } from './rights/ram-outside-direct-map.ts';
export { defectFault } from './specification/defect-fault.ts';
export { type HypervisorSettings, hypervisorSettings } from './specification/hypervisor-settings.ts';
export { joinSpecifications } from './specification/join-specifications.ts';
export {
  type MachineSettings,
  type MachineSpecification,
  machineSettings,
  SECURE_KERNELS,
  type SecureKernel,
  type SpecifiedDefects,
} from './specification/machine-specification.ts';
export { isMemorySize, MEMORY_SIZE, memoryBytes } from './specification/memory-size.ts';
export { isModulePath } from './specification/module-path.ts';
export {
  OPTIONAL_FEATURES,
  type ProcessorChanges,
  processorName,
  processorOf,
} from './specification/processor.ts';
