import { Errno, type KernelOutcome } from '@heki/linux';
import { ScenarioError } from './error.ts';
import type { Life } from './life.ts';

const DONE: KernelOutcome = { kind: 'done', value: undefined };

/**
 * Has the `call`th request from here on, of any kind, fail with `error`: the hypervisor hears nothing of it.
 *
 * @throws {ScenarioError} in a kernel that found no hypervisor with Heki
 */
export function failHypercall({ machine }: Life, call: number, error: number): KernelOutcome {
  const driver = machine.heki.hypervisor;
  if (driver === undefined)
    throw new ScenarioError('the kernel makes no requests: it found no hypervisor with Heki');
  const { lockCrs, protectMemory } = driver;
  let left = call;
  const answer = (request: () => number): number => {
    if (--left > 0) return request();
    Object.assign(driver, { lockCrs, protectMemory });
    return -error;
  };
  Object.assign(driver, {
    lockCrs: () => answer(() => lockCrs.call(driver)),
    protectMemory: (list: Parameters<typeof protectMemory>[0]) =>
      answer(() => protectMemory.call(driver, list)),
  });
  return DONE;
}

/** Nothing is enforced: as a machine is that a guest moves to. */
const NOTHING = {
  ranges: [],
  otherwise: { read: true, write: true, supervisorExecute: true, userExecute: true },
  cr0: 0n,
  cr4: 0n,
} as const;

/** Takes out what the hypervisor enforces, forgets it, and puts it in again. An error where it cannot be asked. */
export function saveAndRestore({ machine: { virtualMachine } }: Life): KernelOutcome {
  const state = virtualMachine.save();
  if (state === undefined) {
    return { kind: 'error', errno: -Errno.ENXIO, why: 'the hypervisor cannot be asked what it enforces' };
  }
  virtualMachine.restore(NOTHING);
  if (!virtualMachine.restore(state)) {
    return { kind: 'error', errno: -Errno.ENXIO, why: 'the hypervisor does not take it back' };
  }
  virtualMachine.flush();
  return DONE;
}
