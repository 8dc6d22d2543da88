import { expect, test } from 'vitest';
import { LinuxError } from '../error.ts';
import { bootKernel, done } from '../testing/running-kernel.ts';

test('kexec goes on at the physical address of a page that is read-only and executable by then', () => {
  const fetches: bigint[] = [];
  const running = bootKernel({
    setup: {
      onEvent(event) {
        if (event.type === 'access' && event.access === 'fetch') fetches.push(event.va);
      },
    },
  });
  const { kernel, vcpu } = running;
  const before = vcpu.registers.cr3;
  done(kernel.kexec());
  const control = fetches.at(-1) ?? 0n;
  expect(control).toBeLessThan(2n ** 27n);
  const frame = Number(control / 4096n) as Parameters<typeof running.direct>[0];
  expect(running.rights(running.direct(frame))).toBe('r-x');
  expect(vcpu.registers.cr3).not.toBe(before);
  expect(() => kernel.vmalloc(1)).toThrow(LinuxError);
});

test.each([4, 5] as const)('kexec works with %i-level paging', (levels) => {
  done(bootKernel({ levels }).kernel.kexec());
});
