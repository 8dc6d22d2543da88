import type { BpfState } from './bpf/prog-pack.ts';
import type { FaultState } from './faults/fault-state.ts';
import type { FtraceState } from './ftrace/ftrace.ts';
import type { KexecState } from './kexec/kexec.ts';
import type { KprobesState } from './kprobes/kprobes.ts';
import type { HotplugState } from './memory-hotplug/hotplug-state.ts';
import type { ProcessState } from './process/process-state.ts';
import type { TextState } from './text/text-state.ts';

/** A whole kernel: what each of its subsystems keeps. A function takes the state of its own. */
export interface KernelState
  extends TextState,
    FaultState,
    FtraceState,
    KprobesState,
    BpfState,
    HotplugState,
    ProcessState,
    KexecState {}
