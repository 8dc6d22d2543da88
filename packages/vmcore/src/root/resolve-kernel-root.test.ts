import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Gpa,
  gfn,
  type VirtualFrame,
} from '@heki/physical-memory';
import { CR4, createAddressSpace, entryBits } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { buildCore, type NotePart, qemuNote } from '../testing/build-core.ts';
import { type BuiltKernel, buildKernel, PLAN } from '../testing/built-kernel.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';
import { doubtsAbout } from './doubts.ts';
import { kernelTableFrames } from './kernel-tables.ts';
import { proveKernelRoot } from './proven-root.ts';
import { resolveKernelRoot } from './resolve-kernel-root.ts';

/** The image of this kernel is mapped 16 MiB above `__START_KERNEL_map` and lies at 16 MiB. */
const STEXT = 'SYMBOL(_stext)=ffffffff81000000\n';

function swapperAt(kernel: BuiltKernel, physBase = 0): string {
  const address = 0xffff_ffff_8000_0000n + BigInt(kernel.kernelRoots.swapper * 4096 - physBase);
  return `SYMBOL(swapper_pg_dir)=${address.toString(16)}\n`;
}

/** The page table by which the direct map maps `frame`, in 4-KiB leaves. */
function directMapTable(kernel: BuiltKernel, root: Gfn, frame: number): Uint32Array {
  return tableOf(kernel, root, kernel.directMap + frame);
}

/** The page table that maps a virtual frame. */
function tableOf({ memory }: BuiltKernel, root: Gfn, virtualFrame: number): Uint32Array {
  let table = root;
  for (let level = 4; ; level--) {
    const page = memory.writablePage(table);
    if (page === undefined) throw new Error('a table is absent');
    if (level === 1) return page;
    const slot = Math.floor(virtualFrame / 512 ** (level - 1)) % 512;
    table = gfn(Math.floor((page[2 * slot] ?? 0) / 4096));
  }
}

function coreOf(kernel: BuiltKernel, on: readonly number[], info?: string): Vmcore {
  const notes: NotePart[] = on.map((root) => qemuNote({ cr3: BigInt(root * 4096) }));
  if (info !== undefined) notes.push({ name: 'VMCOREINFO', descriptor: new TextEncoder().encode(info) });
  return { ...readVmcore(buildCore({ notes })), memory: kernel.memory };
}

describe('the root of the kernel', () => {
  const kernel = buildKernel(PLAN);
  const { swapper, process } = kernel.kernelRoots;
  const { user, trampoline, guest, empty } = kernel.otherRoots;

  it('is swapper_pg_dir wherever VMCOREINFO has it, and what the CPU stands on does not matter', () => {
    for (const physBase of [0, 0x20_0000, -0x100_0000]) {
      const info = `${swapperAt(kernel, physBase)}NUMBER(phys_base)=${physBase}\n`;
      for (const root of [swapper, process, user, empty]) {
        const found = resolveKernelRoot(coreOf(kernel, [root], info));
        expect([found.root, found.origin.kind]).toEqual([swapper, 'swapper-pg-dir']);
      }
    }
  });

  it('is looked for at phys_base 0 where VMCOREINFO does not tell it', () => {
    expect(resolveKernelRoot(coreOf(kernel, [empty], swapperAt(kernel))).root).toBe(swapper);
  });

  it("is the kernel's half of the pair when the CPU stands on the user's", () => {
    const found = resolveKernelRoot(coreOf(kernel, [user]));
    expect(found.root).toBe(process);
    expect(found.origin).toEqual({
      kind: 'pti-kernel-half',
      name: 'CR3 of CPU 0 with bit 12 cleared',
      cpu: 0,
      isCr3: false,
      refused: [
        {
          kind: 'cr3',
          name: 'CR3 of CPU 0',
          root: user,
          why: 'has no direct map in which the table itself would be mapped',
        },
      ],
    });
    expect(found.because).toBe(
      'a direct map at 0xffff888000000000 with 5 of 5 table pages, kernel text at 0xffffffff81000000',
    );
  });

  it('is that of another CPU when the first is in a guest, in the trampoline or on nothing', () => {
    for (const first of [guest, trampoline, empty, 0x7777]) {
      const found = resolveKernelRoot(coreOf(kernel, [first, process]));
      expect([found.root, found.origin.name, found.origin.cpu]).toEqual([process, 'CR3 of CPU 1', 1]);
    }
  });

  it('is not found when none proves to be, and the reasons are told', () => {
    expect(() => resolveKernelRoot(coreOf(kernel, [trampoline, 0x7777, guest, trampoline]))).toThrow(
      /^no page table of the dump proves to be its kernel's root: CR3 of CPU 0, 0x[0-9a-f]+, has no direct map .*; CR3 of CPU 1, 0x7777000, is not in the dump; CR3 of CPU 1 with bit 12 cleared, 0x7776000, is not in the dump; CR3 of CPU 2, 0x[0-9a-f]+, has no direct map [^;]*$/,
    );
    expect(() => resolveKernelRoot(readVmcore(buildCore({})))).toThrow(
      "it has neither a CPU's registers of 64-bit mode nor swapper_pg_dir",
    );
    const real = {
      ...coreOf(kernel, []),
      cpus: readVmcore(buildCore({ notes: [qemuNote({ cr0: 0x10n })] })).cpus,
    };
    expect(() => resolveKernelRoot(real)).toThrow("neither a CPU's registers of 64-bit mode");
  });

  it('is told apart from that of other levels, by the CPU, by VMCOREINFO or by a look', () => {
    const five = buildKernel({ ...PLAN, levels: 5, directMapGib: 0x44_0000 });
    expect(() => resolveKernelRoot(coreOf(five, [five.kernelRoots.process]))).toThrow('no direct map');
    expect(resolveKernelRoot(coreOf(five, [], swapperAt(five))).levels).toBe(5);
    expect(resolveKernelRoot(coreOf(kernel, [], swapperAt(kernel))).levels).toBe(4);
    const wrong = `${swapperAt(five)}NUMBER(pgtable_l5_enabled)=0\n`;
    expect(() => resolveKernelRoot(coreOf(five, [], wrong))).toThrow(
      /swapper_pg_dir, 0x[0-9a-f]+, has no direct map/,
    );
  });

  it('must have the text where VMCOREINFO has it', () => {
    const info = `${swapperAt(kernel)}NUMBER(phys_base)=0\n`;
    expect(resolveKernelRoot(coreOf(kernel, [], info + STEXT)).text).toEqual({
      virtualFrame: 2 ** 52 - 2 ** 19 + 0x1000,
      frame: 0x1000,
    });
    for (const [stext, why] of [
      ['ffffffff84000000', 'does not map _stext at 0xffffffff84000000, where VMCOREINFO has'],
      ['ffffffff81200000', 'has no executable mapping of _stext at 0xffffffff81200000, where'],
      [
        'ffffffff81100000',
        'has an image with _stext at 0xffffffff81100000 at 0x1100000: by VMCOREINFO it is at 0x1300000',
      ],
    ]) {
      const moved = stext === 'ffffffff81100000' ? info.replace('phys_base)=0', 'phys_base)=2097152') : info;
      expect(() => resolveKernelRoot(coreOf(kernel, [process], `${moved}SYMBOL(_stext)=${stext}\n`))).toThrow(
        why,
      );
    }
  });

  it('goes without symbols that cannot be, and says so', () => {
    const core = coreOf(
      kernel,
      [process],
      'SYMBOL(_stext)=0\nSYMBOL(swapper_pg_dir)=0\nNUMBER(phys_base)=0\n',
    );
    const found = resolveKernelRoot(core);
    expect(found.root).toBe(process);
    expect(doubtsAbout(core, found).map(({ message }) => message)).toEqual([
      'VMCOREINFO has _stext at 0x0, where no kernel has its image: it was passed over',
      'VMCOREINFO has swapper_pg_dir at 0x0, where no kernel has its image: it was passed over',
    ]);
  });

  it("is a CPU's where VMCOREINFO leads to no kernel's root, and that is said unless the dump lacks the page", () => {
    const core = coreOf(kernel, [process], swapperAt(kernel, (swapper - empty) * 4096));
    const found = resolveKernelRoot(core);
    expect([found.root, doubtsAbout(core, found)]).toEqual([
      process,
      [
        {
          id: 'swapper-refused',
          message: `swapper_pg_dir, by VMCOREINFO at 0x${(empty * 4096).toString(16)}, has no direct map in which the table itself would be mapped (read with 4 levels), has no direct map in which the table itself would be mapped (read with 5 levels): VMCOREINFO may be another kernel's`,
        },
      ],
    ]);
    const absent = coreOf(kernel, [process], swapperAt(kernel, -0x1000_0000));
    expect(doubtsAbout(absent, resolveKernelRoot(absent))).toEqual([]);
  });

  it('is not chosen between two kernels: that is left to who asks', () => {
    const old = buildKernel(PLAN);
    // A crash kernel runs in memory that was set aside for it.
    const crash = buildKernel({ ...PLAN, ramStart: 0x10_0000 });
    const memory = {
      page: (frame: Gfn) => (frame < 0x10_0000 ? old : crash).memory.page(frame),
      writablePage: () => undefined,
    };
    const { process: running } = crash.kernelRoots;
    const core = { ...coreOf(old, [running], swapperAt(old)), memory };
    expect(() => resolveKernelRoot(core)).toThrow(
      /^two kernels are in the dump: swapper_pg_dir, 0x\w+ \(a direct map at .*\), and CR3 of CPU 0, 0x\w+ \(a direct map at .*: say which by a value for CR3$/,
    );
    expect(resolveKernelRoot(core, { cpu: 0 }).root).toBe(running);
    expect(resolveKernelRoot(core, { cr3: BigInt(old.kernelRoots.swapper * 4096) }).root).toBe(swapper);
  });

  it('is not chosen between two kernels on which CPUs stand, either', () => {
    const [one, other] = [buildKernel(PLAN), buildKernel({ ...PLAN, ramStart: 0x10_0000 })];
    const memory = {
      page: (frame: Gfn) => (frame < 0x10_0000 ? one : other).memory.page(frame),
      writablePage: () => undefined,
    };
    for (const info of [undefined, swapperAt(one)]) {
      const roots = [one.otherRoots.empty, one.kernelRoots.process, one.otherRoots.user];
      const core = { ...coreOf(one, [...roots, other.kernelRoots.process], info), memory };
      expect(() => resolveKernelRoot(core)).toThrow(/^two kernels are in the dump: .* CR3 of CPU 3, 0x\w+ /);
      expect(resolveKernelRoot(core, { cpu: 3 }).root).toBe(other.kernelRoots.process);
    }
  });

  it("is not the user's of a pair, even when it leads to a direct map", () => {
    const { memory, otherRoots } = buildKernel(PLAN);
    const half = memory.writablePage(otherRoots.user);
    // All of the direct map, at another place than in the kernel's half.
    const [low = 0, high = 0] = [memory.page(process)?.[2 * 273], memory.page(process)?.[2 * 273 + 1]];
    half?.set([low, high], 2 * 300);
    const core = { ...coreOf(kernel, [otherRoots.user]), memory };
    expect(() => resolveKernelRoot(core)).toThrow(
      /^two kernels are in the dump: CR3 of CPU 0, 0x\w+ \(a direct map at 0xffff9600.*\), and CR3 of CPU 0 with bit 12 cleared/,
    );
  });

  it('is read with the levels of each CPU that stands on it', () => {
    const notes = [CR4.PAE | CR4.LA57, CR4.PAE].map((cr4) => qemuNote({ cr3: BigInt(process * 4096), cr4 }));
    const found = resolveKernelRoot({ ...readVmcore(buildCore({ notes })), memory: kernel.memory });
    expect([found.root, found.levels, found.origin.cpu]).toEqual([process, 4, 1]);
  });

  it('is not in the image, which maps the tables of early boot before there is a direct map', () => {
    const ram = { start: gfn(0), end: gfn(0x2000) };
    const memory = createRam<Gfn>({ ranges: [ram] });
    // In the image's data, as init_top_pgt and the tables under it are.
    const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x1300), end: gfn(0x1310) }] });
    const space = createAddressSpace({ memory, tables, levels: 4 });
    const image = 2 ** 52 - 2 ** 19;
    const map = (from: number, to: number, bits: ReturnType<typeof entryBits>) =>
      space.map((image + from) as VirtualFrame, (image + to) as VirtualFrame, gfn(from), bits);
    map(0x1000, 0x1200, entryBits('P'));
    map(0x1200, 0x1400, entryBits('P', 'RW', 'XD'));
    const early = { ...coreOf(kernel, [space.root]), memory };
    expect(() => resolveKernelRoot(early)).toThrow(
      'has no direct map in which the table itself would be mapped',
    );
  });

  it('has text in memory: what a device decodes is not text, even when it can be executed', () => {
    const bare = buildKernel(PLAN);
    const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x100), end: gfn(0x110) }] });
    const root = bare.kernelRoots.process;
    const space = createAddressSpace({ memory: bare.memory, tables, levels: 4, root });
    const page = bare.text;
    space.map(page, (page + 0x200) as VirtualFrame, gfn(0xf_e000), entryBits('P'));
    expect(() => resolveKernelRoot(coreOf(bare, [root]))).toThrow(
      "has a direct map with only 0 of the 512 pages of the kernel's image",
    );
  });

  it('is not that of early boot, which has a direct map only of what was looked at so far', () => {
    const early = buildKernel({ ...PLAN, largestLeaf: 1 });
    const { memory, directMap, textFrame } = early;
    const root = early.kernelRoots.process;
    const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x100), end: gfn(0x110) }] });
    const space = createAddressSpace({ memory, tables, levels: 4, root });
    const hole = (directMap + textFrame + 0x80) as VirtualFrame;
    const withHole = (pages: number) => {
      space.unmap(hole, (hole + pages) as VirtualFrame);
      return resolveKernelRoot(coreOf(early, [root]));
    };
    expect(withHole(0x1ff).text.frame).toBe(textFrame);
    expect(() => withHole(0x200)).toThrow(
      / has a direct map with only 512 of the 1024 pages of the kernel's image$/,
    );
  });

  it("is in the kernel's half with all of its direct map", () => {
    // RAM from 4 GiB on, mapped from the start of the half on: frame 0 would be 4 GiB below.
    const ram = { start: gfn(0x10_0000), end: gfn(0x10_2000) };
    const memory = createRam<Gfn>({ ranges: [ram] });
    const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x10_1800), end: ram.end }] });
    const space = createAddressSpace({ memory, tables, levels: 4 });
    const map = (from: number, frames: number, to: number, bits: ReturnType<typeof entryBits>) =>
      space.map(from as VirtualFrame, (from + frames) as VirtualFrame, gfn(to), bits);
    map(2 ** 52 - 2 ** 35, 0x2000, ram.start, entryBits('P', 'RW', 'XD'));
    map(2 ** 52 - 2 ** 19 + 0x1000, 0x200, ram.start + 0x1000, entryBits('P'));
    expect(() => resolveKernelRoot({ ...coreOf(kernel, [space.root]), memory })).toThrow('has no direct map');
  });

  it('goes with the registers of a CPU that walks as many levels', () => {
    const notes = [CR4.PAE | CR4.LA57, CR4.PAE].map((cr4) => qemuNote({ cr3: BigInt(swapper * 4096), cr4 }));
    const { cpus } = readVmcore(buildCore({ notes }));
    const found = resolveKernelRoot({ ...coreOf(kernel, [], swapperAt(kernel)), cpus });
    expect([found.root, found.levels, found.origin.cpu]).toEqual([swapper, 4, 1]);
  });

  it('is what CR3 shows, too, unless the process has more in its kernel half', () => {
    const found = () => resolveKernelRoot(coreOf(ldt, [ldt.kernelRoots.process], swapperAt(ldt))).origin;
    const ldt = buildKernel(PLAN);
    expect(found()).toMatchObject({ name: 'swapper_pg_dir', cpu: 0, isCr3: true });
    // A local descriptor table, which page-table isolation maps for each process.
    const root = ldt.memory.writablePage(ldt.kernelRoots.process);
    root?.copyWithin(2 * 507, 2 * 511, 2 * 512);
    expect(found()).toMatchObject({ name: 'swapper_pg_dir', cpu: 0, isCr3: false });
  });

  it('is not misled by a page that vmalloc happens to map where a direct map would have it', () => {
    const lucky = buildKernel({ ...PLAN, largestLeaf: 1 });
    const { memory, directMap } = lucky;
    const root = lucky.kernelRoots.process;
    const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x100), end: gfn(0x110) }] });
    const space = createAddressSpace({ memory, tables, levels: 4, root });
    // In the GiB after the next, as far from its start as the root is from that of its own.
    const at = (directMap + 2 * 2 ** 18 + root) as VirtualFrame;
    space.map(at, (at + 1) as VirtualFrame, root, entryBits('P', 'RW', 'XD'));
    const core = coreOf(lucky, [root]);
    expect(resolveKernelRoot(core).directMap.start).toBe(directMap);
    // Without the direct map itself, that page proves nothing.
    space.unmap(directMap, (directMap + PLAN.ramFrames) as VirtualFrame);
    expect(() => resolveKernelRoot(core)).toThrow(
      /maps only 1 of its \d+ table pages in what would be its direct map/,
    );
  });

  it('is proven by more than half of the table pages in the direct map, and not by half', () => {
    // A page of vmalloc makes the number of tables even.
    const made = [[], [0x20]].map((vmalloc) => buildKernel({ ...PLAN, largestLeaf: 1, vmalloc }));
    const framesOf = ({ memory, kernelRoots: { swapper: root } }: BuiltKernel) => {
      return [...kernelTableFrames({ memory, root, levels: 4, encryptionBit: undefined }, 4096)];
    };
    const even = made.find((one) => framesOf(one).length % 2 === 0);
    if (even === undefined) throw new Error('neither kernel has an even number of tables');
    const { memory, directMap } = even;
    const root = even.kernelRoots.swapper;
    const frames = framesOf(even);
    const hide = (frame: number) =>
      directMapTable(even, root, frame).fill(
        0,
        2 * ((directMap + frame) % 512),
        2 * ((directMap + frame) % 512) + 2,
      );
    const others = frames.filter((frame) => frame !== root);
    const half = frames.length / 2;
    for (const frame of others.slice(0, half - 1)) hide(frame);
    const tables = { memory, root, levels: 4, encryptionBit: undefined } as const;
    expect(proveKernelRoot(tables).tablePages).toEqual({ looked: frames.length, mapped: half + 1 });
    hide(others[half - 1] ?? 0);
    expect(() => proveKernelRoot(tables)).toThrow(`maps only ${half} of its ${frames.length} table pages`);
  });

  it('is of two direct maps the one where Linux has it, and there is doubt', () => {
    // Behind it, and where page-table isolation has local descriptor tables.
    for (const slot of [300, 272]) {
      const twice = buildKernel(PLAN);
      const { swapper: root, process: own } = twice.kernelRoots;
      // In one address space alone: the other is of the same kernel all the same.
      twice.memory.writablePage(own)?.copyWithin(2 * slot, 2 * 273, 2 * 274);
      const core = coreOf(twice, [own]);
      const kernel = resolveKernelRoot(core);
      expect(kernel.directMap.start).toBe(twice.directMap);
      expect(doubtsAbout(core, kernel).map(({ id }) => id)).toContain('second-direct-map');
      const both = coreOf(twice, [own], `${swapperAt(twice)}NUMBER(phys_base)=0\n${STEXT}`);
      expect(resolveKernelRoot(both)).toMatchObject({ root, otherDirectMaps: [] });
    }
  });

  it('is of two direct maps the one of smaller leaves, wherever the other lies', () => {
    const twice = buildKernel(PLAN);
    const { swapper: root } = twice.kernelRoots;
    const page = twice.memory.writablePage(root);
    // In the slot before it, a table whose first entry is a leaf over the first GiB.
    const table = gfn(0x2ff0);
    page?.set([table * 4096 + 0x63, 0], 2 * 272);
    twice.memory.writablePage(table)?.set([0xe3, 0x8000_0000], 0);
    const kernel = resolveKernelRoot(coreOf(twice, [root]));
    expect(kernel.directMap.start).toBe(twice.directMap);
    expect(kernel.otherDirectMaps).toHaveLength(1);
  });

  it('is not a table of a lower level, whose leaves would be a GiB large', () => {
    const { memory, text } = kernel;
    const table = gfn(Math.floor((memory.page(process)?.[2 * 511] ?? 0) / 4096));
    // The image lies in that table's last but one entry; 2-MiB leaves under it are not 1-GiB leaves.
    expect(Math.floor(text / 2 ** 18) % 512).toBe(510);
    expect(() => resolveKernelRoot(coreOf(kernel, [table]))).toThrow('has no direct map');
  });

  it('may be asked for by its CPU or by CR3, and must prove itself then, too', () => {
    const core = coreOf(kernel, [process, user, trampoline]);
    expect(resolveKernelRoot(core, { cpu: 1 }).root).toBe(process);
    expect(resolveKernelRoot(core, { cr3: BigInt(swapper * 4096) }).root).toBe(swapper);
    expect(() => resolveKernelRoot(core, { cpu: 2 })).toThrow('CR3 of CPU 2, 0x');
    expect(() => resolveKernelRoot(core, { cpu: 3 })).toThrow(
      'no registers of CPU 3: the dump has those of the CPUs 0 to 2',
    );
    expect(() => resolveKernelRoot(core, { cr3: 0x7777_7000n })).toThrow(
      'the dump holds no page at 0x77777000, where CR3 0x77777000 has the root table',
    );
  });

  it('is doubted when the direct map leads elsewhere or misses tables', () => {
    const damaged = buildKernel({ ...PLAN, largestLeaf: 1 });
    const { process: root } = damaged.kernelRoots;
    const core = coreOf(damaged, [root]);
    directMapTable(damaged, root, 0x30)[2 * 0x30] = 0x777163;
    directMapTable(damaged, root, root)[2 * ((root + 20) % 512)] = 0;
    expect(doubtsAbout(core, resolveKernelRoot(core)).map(({ message }) => message)).toEqual([
      '1 page in the direct map leads to another frame than its own: the dump is damaged, or the kernel was attacked',
      '1 of 31 table pages is not in the direct map: the dump is damaged, or the kernel was attacked',
    ]);
    const attacked = buildKernel({ ...PLAN, largestLeaf: 1 });
    const info = `${swapperAt(attacked)}NUMBER(phys_base)=0\n${STEXT}`;
    const image = tableOf(attacked, attacked.kernelRoots.swapper, attacked.text);
    image[0] = 0x77_7161;
    const remapped = coreOf(attacked, [attacked.kernelRoots.process], info);
    expect(doubtsAbout(remapped, resolveKernelRoot(remapped)).map(({ message }) => message)).toEqual([
      "the kernel's first page of text, 0xffffffff81000000, leads to 0x777000 and not to 0x1000000, as the rest of the image: the dump is damaged, or the kernel was attacked",
    ]);
    const whole = coreOf(kernel, [process]);
    const held = { start: 0x800_0000 as Gpa, end: 0x1000_0000 as Gpa, fileOffset: 0, fileSize: 0 };
    const larger = { ...whole, segments: [{ ...held, start: 0 as Gpa, end: 0x300_0000 as Gpa }, held] };
    expect(doubtsAbout(larger, resolveKernelRoot(larger)).map(({ message }) => message)).toEqual([
      "of the 45056 pages that the dump holds, 32768 are not in the kernel's direct map: it may be a crash kernel, or still boot",
    ]);
    const none = coreOf(kernel, [empty], swapperAt(kernel));
    expect(doubtsAbout(none, resolveKernelRoot(none)).map(({ id }) => id)).toEqual(['no-cpu-on-kernel']);
  });
});

it('is not looked for in more memory than anybody waits for', () => {
  const memory = { page: () => undefined, writablePage: () => undefined };
  const core = {
    ...readVmcore(buildCore({ loads: [{ address: 0, bytes: new Uint8Array(4096) }] })),
    cpus: [],
    memory,
    encryption: undefined,
    segments: [{ start: 0 as Gpa, end: (2 ** 40) as Gpa }],
    rootLikePages: undefined,
  };
  expect(() => resolveKernelRoot(core)).toThrow(
    'its 1024 GiB are more than the 64 that are looked through for one',
  );
});
