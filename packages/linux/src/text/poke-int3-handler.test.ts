import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { after, bootKernel, done, type RunningKernel } from '../testing/running-kernel.ts';
import { callTo, jumpTo, NOP5 } from './instructions.ts';
import { encodeDescriptor, encodeLocations } from './poke-descriptor.ts';
import type { BreakpointEffect } from './poke-int3-handler.ts';

const JMP = 0xe9;

/** What the processor that runs the kernel does at an int3. */
function handle({ kernel, vcpu }: RunningKernel, address: VirtualAddress): BreakpointEffect | undefined {
  const outcome = kernel.pokeInt3Handler(vcpu, address);
  return outcome.kind === 'done' ? outcome.value : expect.fail(`the handler ends with ${outcome.kind}`);
}

const store = ({ vcpu }: RunningKernel, address: VirtualAddress, bytes: Uint8Array): void =>
  expect(vcpu.storeBytes(address, bytes).kind).toBe('done');

describe('a processor that comes to a site while it is patched', () => {
  let look = (): void => {};
  const running = bootKernel({ interleave: () => look() });
  const text = running.kernel.address('_text');
  const [site, target] = [after(text, 0x100), after(text, 0x300)];
  const next = after(site, 5);

  test.each<[string, Uint8Array, BreakpointEffect | undefined]>([
    ['a jump goes where it will', jumpTo(site, target), { kind: 'jump', to: target }],
    ['a short jump does, too', Uint8Array.of(0xeb, 0x10), { kind: 'jump', to: after(site, 0x12) }],
    ['a call goes there and comes back', callTo(site, target), { kind: 'call', to: target, back: next }],
    ['a no-op goes on behind it', NOP5, { kind: 'jump', to: next }],
    ['a return goes back', Uint8Array.of(0xc3), { kind: 'return' }],
    ['an int3 that was asked for is not for this handler', Uint8Array.of(0xcc), undefined],
  ])('that becomes %s', (_, bytes, effect) => {
    const seen: (BreakpointEffect | undefined)[] = [];
    look = () => {
      if (running.bytes(running.kernel.layout.textFrame, 0x100, 1)[0] === 0xcc)
        seen.push(handle(running, site));
    };
    done(running.kernel.textPokeBatch([{ address: site, bytes }]));
    look = () => {};
    expect(seen.length).toBeGreaterThan(0);
    for (const one of seen) expect(one).toEqual(effect);
    // And nothing is gone on from when that is over.
    expect(handle(running, site)).toBeUndefined();
  });
});

describe('the descriptor is data', () => {
  const running = bootKernel();
  const { kernel } = running;
  const text = kernel.address('_text');
  const vector = kernel.address('tp_vec');
  const { address: area } = done(kernel.vmalloc(2));

  test('one that is forged leads from any int3 to anywhere, and its vector may lie anywhere', () => {
    const [padding, target] = [after(text, 0x1fff), after(text, 0x5000)];
    const displacement = Number(target - padding) - 5;
    const forged = encodeLocations([{ address: padding, displacement, length: 5, opcode: JMP }], text);
    store(running, area, forged);
    store(running, kernel.address('bp_desc'), encodeDescriptor(area, 1, 1));
    expect(handle(running, padding)).toEqual({ kind: 'jump', to: target });
    expect(handle(running, after(padding, 1))).toBeUndefined();
    store(running, kernel.address('bp_desc'), encodeDescriptor(area, 1, 0));
    expect(handle(running, padding)).toBeUndefined();
  });

  test('a vector where nothing is mapped is a fault of the handler, and the number of its entries no bound of the host', () => {
    const nowhere = virtualAddress(0xffff_c8ff_ffff_f000n);
    store(running, kernel.address('bp_desc'), encodeDescriptor(nowhere, 2 ** 31 - 1, 1));
    expect(kernel.pokeInt3Handler(running.vcpu, text)).toMatchObject({ kind: 'exception', vector: 14 });
  });

  test('a program’s int3 is its own affair', () => {
    const location = { address: text, displacement: 0, length: 5, opcode: JMP };
    store(running, vector, encodeLocations([location], text));
    store(running, kernel.address('bp_desc'), encodeDescriptor(vector, 1, 1));
    expect(handle(running, text)).toEqual({ kind: 'jump', to: after(text, 5) });
    running.vcpu.registers.cpl = 3;
    try {
      expect(handle(running, text)).toBeUndefined();
    } finally {
      running.vcpu.registers.cpl = 0;
    }
  });

  test('a site is found among all that are patched together', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 256 }),
        fc.integer({ min: 0, max: 5_000 }),
        (unsorted, wanted) => {
          const offsets = unsorted.toSorted((a, b) => a - b);
          const locations = offsets.map((offset) => ({
            address: after(text, offset),
            displacement: offset,
            length: 5,
            opcode: JMP,
          }));
          store(running, vector, encodeLocations(locations, text));
          store(running, kernel.address('bp_desc'), encodeDescriptor(vector, offsets.length, 1));
          const found = handle(running, after(text, wanted));
          expect(found).toEqual(
            offsets.includes(wanted) ? { kind: 'jump', to: after(text, wanted + 5 + wanted) } : undefined,
          );
        },
      ),
      { numRuns: 30 },
    );
  });
});
