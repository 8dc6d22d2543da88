export type { LabAttack, Means, RacingAttack } from './attack/lab-attack.ts';
export { NotExpressible } from './attack/not-expressible.ts';
export type { Schedule } from './attack/race.ts';
export { type AttackRun, type Onlooker, runAttack, shortestSchedule } from './attack/run-attack.ts';
export type { Lab } from './attacker/lab.ts';
export type { LabStep } from './attacker/recorder.ts';
export type { Vmm } from './attacker/vmm.ts';
export { CATALOGUE } from './catalogue/catalogue.ts';
export type { Aims } from './judge/aims.ts';
export type { Judgement, Verdict } from './judge/verdict.ts';
export type { Places } from './kernel/places.ts';
export type { SnapshotKernel } from './kernel/snapshot-kernel.ts';
export { ATTACK_MACHINES, type AttackMachine } from './machines/attack-machines.ts';
export {
  type BootedMachine,
  bootMachine,
  type FindBackend,
  type LabBackend,
  type OnMachineEvent,
} from './machines/boot-machine.ts';
export { MECHANISMS, type Mechanism } from './machines/mechanisms.ts';
export {
  type AttemptOptions,
  type Cell,
  countCells,
  isRed,
  type KnownMachine,
  knowMachines,
  type Matrix,
  type MatrixCounts,
  type MatrixOptions,
  type MatrixRow,
  runMatrix,
  runRow,
} from './matrix/run-matrix.ts';
export { type MachineScore, scoresOf } from './matrix/score.ts';
export { PUBLISHED_ATTACKS, type PublishedAttack, type Standing } from './published/published-attacks.ts';
