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
  const calls = [driver, ...(driver.secureKernel === undefined ? [] : [driver.secureKernel])].map((port) => ({
    port,
    requests: requestsOf(port),
  }));
  let left = call;
  for (const { port, requests } of calls) {
    for (const [name, request] of requests) {
      const failing: Request = (...args) => {
        if (--left > 0) return Reflect.apply(request, port, args);
        for (const each of calls) Object.assign(each.port, Object.fromEntries(each.requests));
        return -error;
      };
      Object.assign(port, { [name]: failing });
    }
  }
  return DONE;
}

type Request = (...args: readonly unknown[]) => number;

function requestsOf(port: object): (readonly [string, Request])[] {
  const members: readonly (readonly [string, unknown])[] = Object.entries(port);
  return members.filter((member): member is [string, Request] => typeof member[1] === 'function');
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
