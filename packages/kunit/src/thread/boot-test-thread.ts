import type { BackendEvent, VirtualMachine } from '@heki/hypervisor';
import type { LinuxEvent } from '@heki/linux';
import { createLinuxMachine, type LinuxMachineOptions, type TraceEvent } from '@heki/machine';
import { ThreadEnd } from '../framework/run-case.ts';
import { loadTestImage } from './test-image.ts';
import { createTestThread, type TestThread } from './test-thread.ts';

/** Hypervisors that take KVM's hypercalls, whoever answers them. */
const KVM_BACKENDS: ReadonlySet<string> = new Set(['kvm', 'kvm-vmm', 'kvm-vtl', 'kvm-planes']);

/**
 * Boots a kernel of its own for a test, up to the place in `heki_late_init` where the series runs tests, and starts the test's
 * thread.
 *
 * @throws {ThreadEnd} when the kernel does not boot
 */
export function bootTestThread<VM extends VirtualMachine, Event extends BackendEvent>(
  options: LinuxMachineOptions<VM, Event>,
): TestThread {
  const listeners = new Set<(event: LinuxEvent) => void>();
  const { onEvent } = options;
  const machine = createLinuxMachine({
    ...options,
    onEvent(event: TraceEvent<Event>) {
      onEvent?.(event);
      if (event.from === 'kernel') for (const listener of listeners) listener(event.event);
    },
  });
  const { kernel, heki } = machine;
  const image = loadTestImage(kernel, machine.memory);
  const booted = kernel.boot({ before: 'run_init_process' });
  if (booted.kind === 'error') throw new ThreadEnd(`the kernel does not boot: ${booted.why}`, 'error');
  if (booted.kind === 'oops') {
    const what = `the kernel does not boot: its ${booted.access} at 0x${booted.address.toString(16)}`;
    throw new ThreadEnd(what, booted.outcome);
  }
  if (booted.kind === 'hijacked')
    throw new ThreadEnd('the kernel does not boot: it was led elsewhere', 'error');
  const kvmHypercalls = KVM_BACKENDS.has(options.hypervisor.name) && heki.hypervisor !== undefined;
  const pageFaults = options.hypervisor.capabilities.verdicts.includes('page-fault');
  const denial = pageFaults ? 'page-fault' : 'general-protection';
  return createTestThread({ machine, image, kvmHypercalls, denial, listeners });
}
