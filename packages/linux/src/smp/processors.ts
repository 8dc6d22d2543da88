import { Errno } from '@heki/hypercall/errno';
import type { Vcpu } from '@heki/vcpu';
import { createVcpuMemory } from '../mm/vcpu-memory.ts';
import { fail, KernelStop } from '../outcome.ts';
import type { SmpState } from './smp-state.ts';
import { startProcessor } from './start-processor.ts';

/** `possible[number]`. @throws {KernelStop} -EINVAL */
function processor({ processors }: SmpState, number: number): Vcpu {
  const last = processors.possible.length - 1;
  return processors.possible[number] ?? fail(Errno.EINVAL, `no processor ${number}: expected 0 to ${last}`);
}

/** Has the kernel go on on `vcpu`. */
function runOn(kernel: SmpState, vcpu: Vcpu): void {
  if (kernel.vcpu === vcpu) return;
  kernel.vcpu = vcpu;
  kernel.memory = createVcpuMemory(kernel, vcpu);
}

/**
 * Executes `body` on processor `number`, as `smp_call_function_single` does.
 *
 * @throws {KernelStop} -ENXIO when it is not online; what `body` throws
 */
export function onProcessor<Value>(kernel: SmpState, number: number, body: () => Value): Value {
  const vcpu = processor(kernel, number);
  if (!kernel.processors.online.has(vcpu)) fail(Errno.ENXIO, `processor ${number} is offline`);
  const before = kernel.vcpu;
  runOn(kernel, vcpu);
  try {
    return body();
  } finally {
    runOn(kernel, before);
  }
}

/**
 * `cpu_up`: INIT and start-up IPI, then the processor's way through the trampoline.
 *
 * @throws {KernelStop} -EEXIST when it is online, -EIO when it does not come up
 */
export function cpuUp(kernel: SmpState, number: number): void {
  const { processors, emit } = kernel;
  const vcpu = processor(kernel, number);
  if (processors.online.has(vcpu)) fail(Errno.EEXIST, `processor ${number} is online`);
  const { cr0, cr4, efer } = kernel.vcpu.registers;
  processors.init(vcpu);
  const failure = startProcessor(kernel, vcpu, { cr0, cr4, efer });
  emit({ type: 'processor', number, online: failure === undefined, failure });
  if (failure !== undefined) {
    const { phase, access, address, outcome } = failure;
    fail(
      Errno.EIO,
      `CPU${number} failed to report alive state: in ${phase} its ${access} at 0x${address.toString(16)} ended with ${outcome.kind}`,
    );
  }
  processors.online.add(vcpu);
}

/** `cpu_down`: the processor stops in play_dead. @throws {KernelStop} -EBUSY for the boot processor, -EINVAL when it is not online */
export function cpuDown(kernel: SmpState, number: number): void {
  const { processors, emit } = kernel;
  const vcpu = processor(kernel, number);
  if (number === 0) fail(Errno.EBUSY, 'the boot processor cannot be taken down');
  if (!processors.online.delete(vcpu)) fail(Errno.EINVAL, `processor ${number} is offline`);
  emit({ type: 'processor', number, online: false, failure: undefined });
}

/** `smp_init`: brings up what is there; one that does not come up is told about, and left. */
export function smpInit(kernel: SmpState): void {
  const { processors, parameters, emit } = kernel;
  const count = Math.min(processors.possible.length, parameters.maxProcessors);
  for (let number = 1; number < count; number++) {
    try {
      cpuUp(kernel, number);
    } catch (stop) {
      if (!(stop instanceof KernelStop)) throw stop;
      emit({ type: 'warning', text: stop.message });
    }
  }
  emit({
    type: 'log',
    text: `smp: Brought up 1 node, ${processors.online.size} CPU${processors.online.size === 1 ? '' : 's'}`,
  });
}

/**
 * Suspend to RAM and resume: all but the boot processor go, firmware starts that one again in real mode, and it comes back through
 * the trampoline (wakeup_start); then the others are brought up.
 *
 * @throws {KernelStop} when the boot processor does not come back: the machine is dead; -EIO when another does not
 */
export function suspend(kernel: SmpState): void {
  const { processors, emit } = kernel;
  const [boot] = processors.possible;
  if (boot === undefined) return;
  runOn(kernel, boot);
  const others = [...processors.possible.keys()].filter(
    (number) => number > 0 && processors.online.has(processor(kernel, number)),
  );
  for (const number of others) cpuDown(kernel, number);
  const { cr0, cr4, efer } = boot.registers;
  processors.online.delete(boot);
  processors.init(boot);
  const failure = startProcessor(kernel, boot, { cr0, cr4, efer });
  emit({ type: 'processor', number: 0, online: failure === undefined, failure });
  if (failure !== undefined) {
    const { access, address, outcome } = failure;
    throw new KernelStop({ kind: 'oops', access, address, outcome });
  }
  processors.online.add(boot);
  for (const number of others) cpuUp(kernel, number);
}
