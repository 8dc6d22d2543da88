import { XenHekiRequest } from '@heki/hypercall/xen';
import { describeConformance } from '@heki/hypervisor/conformance';
import type { Gfn, Pfn } from '@heki/physical-memory';
import { askMonitor, requestRanges } from './testing/ask.ts';
import { createXen } from './xen.ts';

describeConformance('Xen', {
  hypervisor: createXen(),
  guestCalls: ({ vcpu, memory, backing, scratch }) => {
    const guest = {
      page: (gfn: Gfn) => memory.page((backing + gfn) as Pfn),
      writablePage: (gfn: Gfn) => memory.writablePage((backing + gfn) as Pfn),
    };
    const list = BigInt(scratch) << 12n;
    const write = (word: number, value: number): void => {
      guest.writablePage(scratch as Gfn)?.set([value, 0], word);
    };
    const refused = (name: string, prepare: () => bigint) => ({
      name,
      run: () => askMonitor(vcpu, XenHekiRequest.PROTECT_MEMORY, prepare()) === 0,
    });
    const entries = (count: number, next: number): bigint => {
      write(2, next);
      write(4, count);
      return list;
    };
    return {
      request: (cpu, ranges) => requestRanges(cpu, guest, scratch, ranges) === 0,
      pin: (cpu, register, bits) =>
        askMonitor(cpu, XenHekiRequest.PIN_CONTROL_REGISTER, BigInt(register), bits) === 0,
      malformed: [
        refused('a list that is not aligned', () => list + 8n),
        refused('a list beyond all memory', () => 1n << 60n),
        refused('a list that leads to itself', () => entries(0, scratch * 4096)),
        refused('more entries than a page holds', () => entries(170, 0)),
        { name: 'a request that nobody has', run: () => askMonitor(vcpu, 77n) === 0 },
      ],
    };
  },
});
