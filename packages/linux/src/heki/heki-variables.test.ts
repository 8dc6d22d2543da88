import type { VirtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createRecordingHeki } from '../testing/recording-heki.ts';
import { after, bootKernel, type RunningKernel } from '../testing/running-kernel.ts';

const PROFILES = ['rfc-v2', 'hardened'] as const;

/** Little-endian words of memory behind an address of the image. */
function words({ kernel, bytes }: RunningKernel, address: VirtualAddress, count: number): bigint[] {
  const offset = Number(address - kernel.address('_text'));
  const stored = Uint8Array.from(bytes(kernel.layout.textFrame, offset, 8 * count));
  const view = new DataView(stored.buffer);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(8 * index, true));
}

describe.each(PROFILES)('in the image of a kernel with the hooks of %s', (profile) => {
  const heki = createRecordingHeki({ profile });
  const running = bootKernel({ heki: heki.create, hooks: profile, commandLine: 'nokaslr' });
  const { kernel } = running;

  test('struct heki points to the operations of the driver, and says that memory is protected', () => {
    const operations = kernel.address('heki_hypervisor');
    expect(words(running, kernel.address('heki'), 3)).toEqual([operations, 0n, 1n]);
    const functions = [kernel.address('lock_crs'), kernel.address('protect_memory')];
    expect(words(running, operations, 2)).toEqual(functions);
    for (const address of functions) expect(running.rights(address)).toBe('r-x');
  });

  test('both lie where they can be written for ever, or where they are read-only after init', () => {
    const place = (symbol: 'heki' | 'heki_hypervisor', start: VirtualAddress, end: VirtualAddress) => {
      const address = kernel.address(symbol);
      return [address >= start && after(address, 24) <= end, running.rights(address)];
    };
    const at = kernel.address;
    if (profile === 'rfc-v2') {
      expect(place('heki', at('__bss_start'), at('__start_bss_decrypted'))).toEqual([true, 'rw-']);
      expect(place('heki_hypervisor', at('_sdata'), at('_edata'))).toEqual([true, 'rw-']);
    } else {
      expect(place('heki', at('__start_rodata'), at('__end_rodata'))).toEqual([true, 'r--']);
      expect(place('heki_hypervisor', at('__start_rodata'), at('__end_rodata'))).toEqual([true, 'r--']);
    }
  });
});

describe('the last write, of heki.protect_memory,', () => {
  /** Stores of one byte, and requests of the core, in late init: what each store was made to. */
  function lateInit(profile: (typeof PROFILES)[number], commandLine: string): string[] {
    const order: string[] = [];
    const heki = createRecordingHeki({ profile });
    const running = bootKernel(
      {
        heki: heki.create,
        hooks: profile,
        commandLine,
        setup: {
          onEvent(event) {
            if (event.type !== 'access' || event.access !== 'store' || event.bytes !== 1) return;
            const flag = after(running.kernel.address('heki'), 16);
            order.push(event.va < 2n ** 63n ? 'alias' : event.va === flag ? 'variable' : 'elsewhere');
          },
        },
      },
      { before: 'heki_late_init' },
    );
    order.length = 0;
    heki.onRequest = () => {
      if (order.at(-1) !== 'request') order.push('request');
    };
    expect(running.kernel.boot().kind).toBe('done');
    expect(running.kernel.heki?.protectsMemory).toBe(true);
    return order;
  }

  test('is a plain store as published, before the hypervisor is asked to protect', () => {
    expect(lateInit('rfc-v2', 'nokaslr')).toEqual(['variable', 'request']);
  });

  test('goes through a temporary mapping once mended, because the kernel has made the page read-only by then', () => {
    expect(lateInit('hardened', 'nokaslr')).toEqual(['alias', 'request']);
  });

  test('is a plain store in a kernel that makes nothing read-only', () => {
    expect(lateInit('hardened', 'nokaslr rodata=off')).toEqual(['variable', 'request']);
  });

  test('is taken back when the hypervisor refuses', () => {
    for (const profile of PROFILES) {
      const heki = createRecordingHeki({ profile, defects: { 'B-G1': false } });
      heki.answer = -22;
      const running = bootKernel({ heki: heki.create, hooks: profile, commandLine: 'nokaslr' });
      expect(running.kernel.heki?.protectsMemory).toBe(false);
      expect(words(running, running.kernel.address('heki'), 3).at(-1)).toBe(0n);
    }
  });
});

test('a kernel without a driver has a null pointer there, and finds no Heki', () => {
  const running = bootKernel({
    heki: createRecordingHeki().create,
    initHypervisorPlatform(guest) {
      guest.hypervisor = undefined;
    },
  });
  expect(words(running, running.kernel.address('heki'), 3)).toEqual([0n, 0n, 0n]);
  expect(running.events).toContainEqual({ type: 'heki-early-init', result: { outcome: 'no-hypervisor' } });
});
