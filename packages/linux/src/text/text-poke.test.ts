import { gfn, type VirtualFrame } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { after, bootKernel, done, type RunningKernel } from '../testing/running-kernel.ts';

const NOP5 = Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0);

const pokes = ({ events }: RunningKernel) =>
  events.flatMap((event) => (event.type === 'text-poke' ? [event] : []));

describe('text_poke', () => {
  test('changes text that can be written through no mapping of the kernel', () => {
    const running = bootKernel();
    const { kernel, vcpu } = running;
    const site = after(kernel.address('_text'), 0x123456);
    const alias = running.direct(gfn(kernel.layout.textFrame + 0x123));
    expect(vcpu.store(site, 1, 0xccn)).toMatchObject({ kind: 'exception', errorCode: 3 });
    expect(vcpu.store(after(alias, 0x456), 1, 0xccn)).toMatchObject({ kind: 'exception', errorCode: 3 });
    done(kernel.textPoke(site, NOP5));
    expect(running.bytes(gfn(kernel.layout.textFrame + 0x123), 0x456, 5)).toEqual([...NOP5]);
    expect([running.rights(site), running.rights(alias)]).toEqual(['r-x', 'r--']);
  });

  test('patches over the end of a page', () => {
    const running = bootKernel();
    const site = after(running.kernel.address('_text'), 0xffd);
    done(running.kernel.textPoke(site, NOP5));
    const { textFrame } = running.kernel.layout;
    expect(running.bytes(textFrame, 0xffd, 3)).toEqual([0x0f, 0x1f, 0x44]);
    expect(running.bytes(gfn(textFrame + 1), 0, 2)).toEqual([0, 0]);
  });

  test('patches the text of a module, by the frame behind it', () => {
    const running = bootKernel();
    const text = done(running.kernel.loadModule({ name: 'm', memory: { text: new Uint8Array(64) } })).memory;
    const { address } = text.get('text') ?? { address: running.kernel.address('_text') };
    done(running.kernel.textPoke(after(address, 8), NOP5));
    expect(running.bytes(running.leaf(address)?.guestFrame ?? gfn(0), 8, 5)).toEqual([...NOP5]);
  });

  test('writes through the user half of an address space of its own, in which nothing stays mapped', () => {
    const roots: bigint[] = [];
    const running = bootKernel({
      setup: {
        onEvent(event) {
          const [, value] = event.type === 'instruction' ? (/^mov cr3, (\w+)/.exec(event.text) ?? []) : [];
          if (value !== undefined) roots.push(BigInt(value));
        },
      },
    });
    roots.length = 0;
    const kernelRoot = running.vcpu.registers.cr3;
    done(running.kernel.textPoke(running.kernel.address('_text'), NOP5));
    expect(running.vcpu.registers.cr3).toBe(kernelRoot);
    const [poking = 0n, back] = roots;
    expect(back).toBe(kernelRoot);
    expect(poking).not.toBe(kernelRoot);
    const [poke] = pokes(running);
    expect(poke?.alias).toBeLessThan(2n ** 47n);
    let leaves = 0;
    const tables = { memory: running.memory, root: gfn(Number(poking >> 12n)), levels: 4 as const };
    const user = walkMappings(tables, 0 as VirtualFrame, (2 ** 35) as VirtualFrame, () => leaves++);
    // Its tables stay for the next time.
    expect([leaves, user.tables]).toEqual([0, 4]);
    expect(running.vcpu.load(poke?.alias ?? running.kernel.address('_text'), 1)).toMatchObject({
      kind: 'exception',
    });
  });

  test('has interrupts off while the temporary address space is in use', () => {
    const texts: string[] = [];
    const running = bootKernel({
      setup: {
        onEvent(event) {
          if (event.type === 'instruction') texts.push(event.text);
        },
      },
    });
    texts.length = 0;
    done(running.kernel.textPoke(running.kernel.address('_text'), NOP5));
    const order = texts.filter((text) => /^(cli|sti|mov cr3)/.test(text)).map((text) => text.slice(0, 3));
    expect(order).toEqual(['cli', 'mov', 'mov', 'sti']);
  });

  test('fails where no text is mapped, and with too many bytes', () => {
    const { kernel } = bootKernel();
    expect(kernel.textPoke(after(kernel.address('_text'), -4096), NOP5)).toMatchObject({ errno: -14 });
    expect(kernel.textPoke(kernel.address('_text'), new Uint8Array(4097))).toMatchObject({ errno: -22 });
    expect(kernel.textPoke(kernel.address('_text'), new Uint8Array())).toMatchObject({ errno: -22 });
  });

  test('moves its alias with KASLR, and keeps it in the user half of either size', () => {
    const aliases = [1, 2].map((kaslrSeed) => {
      const running = bootKernel({ kaslrSeed, levels: 5 });
      done(running.kernel.textPoke(running.kernel.address('_text'), NOP5));
      return pokes(running)[0]?.alias ?? 0n;
    });
    expect(aliases[0]).not.toBe(aliases[1]);
    for (const alias of aliases) expect(alias).toBeLessThan(2n ** 47n);
  });
});
