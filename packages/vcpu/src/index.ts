export { defaultControls, type VmControls } from './controls.ts';
export { createVcpu } from './create-vcpu.ts';
export { describeException, describeExit, describeVcpuEvent } from './describe-event.ts';
export { VcpuError } from './error.ts';
export type { FlushCause, VcpuEvent } from './event.ts';
export {
  type Exception,
  type ExceptionDecision,
  type ExceptionFrame,
  Vector,
} from './exceptions/exception.ts';
export type { SecondLevelFault, VmExit } from './exit.ts';
export type {
  EmulatedAccess,
  EmulatedMemory,
  EmulatedTarget,
  ExitAction,
  PlainAction,
} from './exit-action.ts';
export type { HypercallInstruction, VmxInstruction } from './instructions/vmx-instruction.ts';
export type { Outcome, Turn } from './outcome.ts';
export {
  type DescriptorTable,
  GENERAL_REGISTERS,
  type GeneralRegister,
  type Registers,
} from './registers/registers.ts';
export { createScheduler } from './scheduler/create-scheduler.ts';
export type { Agent, ScheduleResult, Scheduler, SchedulerOptions } from './scheduler/scheduler.ts';
export type {
  Instructions,
  InvvpidScope,
  OperandSize,
  StepwiseInstructions,
  Vcpu,
  VcpuOptions,
  VcpuSetup,
} from './vcpu.ts';
