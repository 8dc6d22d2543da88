import type { Gpa, Pfn, VirtualAddress } from '@heki/physical-memory';
import type { Exception, ExceptionDecision } from './exceptions/exception.ts';
import type { VmExit } from './exit.ts';
import type { ExitAction } from './exit-action.ts';
import type { Outcome, Turn } from './outcome.ts';

/** Why cached translations were dropped. */
export type FlushCause =
  | 'invlpg'
  | 'invpcid'
  | 'mov-to-cr0'
  | 'mov-to-cr3'
  | 'mov-to-cr4'
  | 'wrmsr'
  | 'invept'
  | 'invvpid'
  | 'fault'
  | 'vm-exit'
  | 'set-registers';

/** What a virtual CPU tells whoever listens. `vcpu` is its id. */
export type VcpuEvent =
  | {
      /** A load, store, read-modify-write or fetch completed. */
      readonly type: 'access';
      readonly vcpu: number;
      readonly access: 'load' | 'store' | 'read-modify-write' | 'fetch';
      readonly va: VirtualAddress;
      readonly bytes: number;
      /** Host frame of the first byte; `undefined` when a hypervisor's emulator made the access. */
      readonly frame: Pfn | undefined;
    }
  | {
      /** Any other instruction completed: `mov cr4, 0x6f0`. */
      readonly type: 'instruction';
      readonly vcpu: number;
      readonly text: string;
    }
  | {
      /** An instruction that a hypervisor carries out met a place without memory, or without memory that takes a store. */
      readonly type: 'no-memory';
      readonly vcpu: number;
      readonly access: 'read' | 'write' | 'fetch';
      readonly gpa: Gpa;
    }
  | {
      /** The guest was left. */
      readonly type: 'exit';
      readonly vcpu: number;
      readonly rip: VirtualAddress;
      readonly exit: VmExit;
    }
  | {
      /** The hypervisor answered an exit. */
      readonly type: 'entry';
      readonly vcpu: number;
      readonly action: ExitAction;
    }
  | {
      /** An exception is delivered to the guest's handler. */
      readonly type: 'exception';
      readonly vcpu: number;
      readonly rip: VirtualAddress;
      readonly exception: Exception;
      /** The hypervisor injected it; otherwise it follows from the processor's rules, whoever carried the instruction out. */
      readonly injected: boolean;
    }
  | {
      /** The handler of an exception decided. */
      readonly type: 'handled';
      readonly vcpu: number;
      readonly vector: number;
      readonly decision: ExceptionDecision;
    }
  | {
      /** Cached translations were dropped. */
      readonly type: 'flush';
      readonly vcpu: number;
      readonly cause: FlushCause;
      /** The address, for one page; absent when more than a page was dropped. */
      readonly va?: VirtualAddress | undefined;
    }
  | { readonly type: 'livelock'; readonly vcpu: number; readonly cycle: readonly Turn[] }
  | {
      /** The virtual CPU stands still. */
      readonly type: 'halted';
      readonly vcpu: number;
      readonly outcome: Outcome & { readonly kind: 'triple-fault' | 'stopped' };
    };
