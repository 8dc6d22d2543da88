import { readdirSync, readFileSync } from 'node:fs';
import { gfn, type VirtualAddress } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { BOOT_STEPS, createLinuxKernel, LinuxError } from '../index.ts';
import { DEBIAN_6_1 } from '../layout/kernel-build.ts';
import { createBareMachine } from '../testing/machine.ts';
import { bootKernel, done, SMALL_MEMORY } from '../testing/running-kernel.ts';

const STEPS = BOOT_STEPS.map(({ step }) => step);

describe('boot', () => {
  test('takes its steps in order, each announced to the hook before it is taken', () => {
    const steps: string[] = [];
    const { events, kernel } = bootKernel({ onStep: (step) => steps.push(step) });
    expect(steps).toEqual(STEPS);
    expect(events.flatMap((event) => (event.type === 'boot-step' ? [event.step] : []))).toEqual(STEPS);
    expect(kernel.nextStep).toBeUndefined();
  });

  test('stops before a step, and goes on from there', () => {
    const { kernel, rights } = bootKernel({}, { before: 'mark_rodata_ro' });
    expect(kernel.nextStep).toBe('mark_rodata_ro');
    expect(rights(kernel.address('_text'))).toBe('rwx');
    done(kernel.boot({ before: 'heki_late_init' }));
    expect(rights(kernel.address('_text'))).toBe('r-x');
    done(kernel.boot());
    expect(kernel.nextStep).toBeUndefined();
  });

  test('leaves the processor in 64-bit mode with the protections that it has', () => {
    const { vcpu, kernel } = bootKernel({ levels: 5 });
    const { cr0, cr3, cr4, efer } = vcpu.registers;
    expect(cr0).toBe(CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.PG);
    expect(cr3).toBe(BigInt(kernel.pageTableRoot) << 12n);
    const wanted = CR4.LA57 | CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.PGE | CR4.PAE;
    expect(cr4 & wanted).toBe(wanted);
    expect(efer).toBe(EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE);
  });

  test('says what it frees, and finds no writable and executable mapping in the end', () => {
    const log = bootKernel({ build: DEBIAN_6_1 }).events.flatMap((event) =>
      event.type === 'log' ? [event.text] : [],
    );
    expect(log).toEqual([
      'Freeing SMP alternatives memory: 36K',
      'smp: Brought up 1 node, 1 CPU',
      'Freeing unused decrypted memory: 2036K',
      'Freeing unused kernel image (initmem) memory: 2612K',
      'Write protecting the kernel read-only data: 26624k',
      'Freeing unused kernel image (text/rodata gap) memory: 2040K',
      'Freeing unused kernel image (rodata/data gap) memory: 1892K',
      'x86/mm: Checked W+X mappings: passed, no W+X pages found.',
      'Run /init as init process',
    ]);
  });

  test('fills what it frees with int3, and gives it to the page allocator', () => {
    const { bytes, kernel, events } = bootKernel({ build: DEBIAN_6_1 });
    const freed = kernel.layout.textFrame + 0x2100;
    expect(bytes(gfn(freed), 100, 2)).toEqual([0xcc, 0xcc]);
    const frames = new Set<number>();
    while (kernel.freeFrames > 0) frames.add(done(kernel.allocatePages()));
    expect(frames.has(freed + 100)).toBe(true);
    expect(frames.has(kernel.layout.textFrame)).toBe(false);
    expect(events.filter(({ type }) => type === 'pages-freed')).toHaveLength(5);
  });

  test('protects nothing with rodata=off', () => {
    const { rights, kernel, events } = bootKernel({ commandLine: 'rodata=off' });
    expect(rights(kernel.address('_text'))).toBe('rwx');
    expect(events).toContainEqual({ type: 'log', text: 'Kernel memory protection disabled.' });
  });

  test('is the same with the same seed, and nokaslr overrules it', () => {
    const layout = (kaslrSeed: number, commandLine = '') =>
      bootKernel({ kaslrSeed, commandLine }, { before: 'startup_64' }).kernel.layout;
    expect(layout(1)).toEqual(layout(1));
    expect(layout(1)).not.toEqual(layout(2));
    expect(layout(1, 'nokaslr').text).toBe(0xf_ffff_fff8_1000);
  });

  test('ends with what an access met when the processor refuses it, and does not go on', () => {
    const machine = createBareMachine(SMALL_MEMORY);
    const kernel = createLinuxKernel({ ...machine, memoryMap: SMALL_MEMORY });
    done(kernel.boot({ before: 'free_initmem' }));
    // Somebody takes write permission from the direct map of the page that the next step poisons first.
    const running = kernel.layout.directMap + kernel.layout.textFrame + 0x2603;
    const address = (BigInt(running) << 12n) as VirtualAddress;
    done(kernel.setMemory('np_noalias', address, 1));
    const outcome = kernel.boot();
    expect(outcome).toMatchObject({ kind: 'oops', access: 'store', address });
    expect(kernel.nextStep).toBe('mark_rodata_ro');
    expect(kernel.boot()).toEqual(outcome);
    expect(kernel.nextStep).toBe('mark_rodata_ro');
  });

  test('must have come to the page allocator before anything else is asked of the kernel', () => {
    const { kernel } = bootKernel({}, { before: 'mem_init' });
    expect(() => kernel.setMemory('ro', kernel.address('_text'), 1)).toThrow(LinuxError);
  });

  test('refuses addresses that are not pages', () => {
    const { kernel } = bootKernel();
    expect(() => kernel.setMemory('ro', 0xffffffff81000010n as VirtualAddress, 1)).toThrow(
      '0xffffffff81000010 is not a page',
    );
    expect(() => kernel.setMemory('ro', kernel.address('_text'), 0)).toThrow(LinuxError);
  });
});

describe('from init_mem_mapping on, memory', () => {
  test('is reached through the processor only', () => {
    const machine = createBareMachine(SMALL_MEMORY);
    const direct: number[] = [];
    let early = true;
    const kernel = createLinuxKernel({
      vcpu: machine.vcpu,
      memoryMap: SMALL_MEMORY,
      memory: {
        page: (frame) => {
          if (!early) direct.push(frame);
          return machine.memory.page(frame);
        },
        writablePage(frame) {
          if (!early) direct.push(frame);
          return machine.memory.writablePage(frame);
        },
      },
      onEvent(event) {
        if (event.type === 'memory-through-vcpu') early = false;
      },
    });
    done(kernel.boot());
    const image = { name: 'm', memory: { text: new Uint8Array(5000), init_text: new Uint8Array(1) } };
    const module = done(kernel.loadModule(image));
    done(kernel.textPoke(module.memory.get('text')?.address ?? kernel.address('_text'), Uint8Array.of(0xcc)));
    done(kernel.unloadModule('m'));
    expect(early).toBe(false);
    expect(direct).toEqual([]);
  });

  test('is written by one file of the sources only, and that is for early boot', () => {
    const folder = new URL('../', import.meta.url);
    const writes = /\bwrite(?:Bytes|U32|U64)\(|emory\.writablePage\(/;
    const writers = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.startsWith('testing'))
      .filter((file) => writes.test(readFileSync(new URL(file, folder), 'utf8')));
    expect(writers).toEqual(['boot/boot-memory.ts']);
  });
});
