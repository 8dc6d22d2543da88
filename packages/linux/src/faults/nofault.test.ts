import type { VirtualAddress } from '@heki/physical-memory';
import type { VcpuSetup } from '@heki/vcpu';
import { INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import type { LinuxKernel } from '../linux-kernel.ts';
import { after, bootKernel, done, type RunningKernel } from '../testing/running-kernel.ts';
import { createExceptionHandler } from './page-fault.ts';

/** A kernel with Linux's exception handler. */
function kernelWithHandler(): RunningKernel {
  let booted: RunningKernel | undefined;
  const handled: VcpuSetup['onException'] = (vcpu, exception) => {
    if (booted === undefined) return 'fatal';
    const { memory, kernel } = booted;
    const handler = createExceptionHandler({
      memory,
      cpu: INTEL_VT_RP,
      spuriousFaults: 'once',
      hasFixup: () => kernel.hasFixup,
    });
    return handler(vcpu, exception);
  };
  booted = bootKernel({ commandLine: 'nokaslr', setup: { onException: handled } });
  return booted;
}

const logs = ({ events }: RunningKernel, from: number): string[] =>
  events.slice(from).flatMap((event) => (event.type === 'log' ? [event.text] : []));

const HOLE = 0xffff_a000_0000_0000n as VirtualAddress;

describe('copy_from_kernel_nofault and copy_to_kernel_nofault', () => {
  const running = kernelWithHandler();
  const { kernel } = running;
  const text = kernel.address('_text');
  const { address: area } = done(kernel.vmalloc(1));

  test('copy where memory is', () => {
    done(kernel.copyToKernelNofault(area, Uint8Array.of(1, 2, 3)));
    expect([...done(kernel.copyFromKernelNofault(area, 3))]).toEqual([1, 2, 3]);
  });

  test('fail with -EFAULT where nothing is mapped, or read-only memory is to be written, and the kernel goes on', () => {
    const from = running.events.length;
    expect(kernel.copyFromKernelNofault(HOLE, 1)).toMatchObject({ kind: 'error', errno: -14 });
    expect(kernel.copyToKernelNofault(text, Uint8Array.of(0x90))).toMatchObject({
      kind: 'error',
      errno: -14,
    });
    // The guard page behind the area.
    expect(kernel.copyFromKernelNofault(after(area, 4090), 16)).toMatchObject({ kind: 'error', errno: -14 });
    expect(logs(running, from)).toEqual([]);
    expect(kernel.vmalloc(1).kind).toBe('done');
  });

  test('refuse addresses of users and non-canonical addresses with -ERANGE', () => {
    for (const address of [0n, 0x40_0000n, 0x7fff_ffff_ffffn, 0x8000_0000_0000n, 0xffff_7fff_ffff_ffffn]) {
      const outcome = kernel.copyFromKernelNofault(address as VirtualAddress, 1);
      expect(outcome).toMatchObject({ kind: 'error', errno: -34 });
    }
  });

  test('have their place in the exception table only while they run', () => {
    expect(kernel.hasFixup).toBe(false);
    expect(kernel.withFixups(() => kernel.hasFixup)).toBe(true);
    expect(() =>
      kernel.withFixups(() => {
        throw new RangeError('of the caller');
      }),
    ).toThrow(RangeError);
    expect(kernel.hasFixup).toBe(false);
  });

  test('tell a probe on an address without memory', () => {
    expect(kernel.registerKprobe(HOLE)).toMatchObject({ kind: 'error', errno: -14 });
  });
});

describe('an access that faults for good is told as Linux tells it', () => {
  /** What the kernel logs when its text is patched by a plain store, and so on. */
  function oops(access: (kernel: LinuxKernel) => unknown): string[] {
    const running = kernelWithHandler();
    const from = running.events.length;
    expect(access(running.kernel)).toMatchObject({ kind: 'oops' });
    return logs(running, from);
  }

  test('a store to read-only text', () => {
    expect(oops((kernel) => kernel.textPokeEarly(kernel.address('_text'), Uint8Array.of(0x90)))).toEqual([
      'BUG: unable to handle page fault for address: ffffffff81000000',
      '#PF: supervisor write access in kernel mode',
      '#PF: error_code(0x0003) - permissions violation',
    ]);
  });

  test('a store to nothing', () => {
    expect(oops((kernel) => kernel.textPokeEarly(HOLE, Uint8Array.of(0x90)))).toEqual([
      'BUG: unable to handle page fault for address: ffffa00000000000',
      '#PF: supervisor write access in kernel mode',
      '#PF: error_code(0x0002) - not-present page',
    ]);
  });

  test('a store through a null pointer', () => {
    expect(oops((kernel) => kernel.textPokeEarly(8n as VirtualAddress, Uint8Array.of(0x90)))[0]).toBe(
      'BUG: kernel NULL pointer dereference, address: 0000000000000008',
    );
  });
});
