import { imageVirtualAddress } from '@heki/patch-sites';
import type { FindingKind } from '../finding.ts';
import { occurrenceOf } from '../occurrence.ts';
import { extentsOfImage, offsetOf } from './in-image.ts';

/** Probes that a summary names. */
const NAMED = 4;

export const KPROBE: FindingKind = {
  id: 'heki/kprobe',
  title: 'Kprobes are registered in the code',
  worst: 'medium',
  explanation:
    "The guest's kprobe_table has probes in the kernel's text: what runs there is INT3 or a jump, and then a handler. With --vmlinux such bytes are not told as differing from the image, because the table explains them; the table is data that whoever writes the kernel's memory can write.",
  attack:
    "A rootkit registers a kprobe on a system call or on a check, and changes arguments or results in the handler; or adds an entry to the table, so that its own INT3 looks like a tracer's.",
  legitimate:
    'perf probe, bpftrace, SystemTap, ftrace events of kprobe_events, agents that trace by eBPF. A stock kernel that nobody traces has none.',
  advice:
    'Look in the guest at /sys/kernel/debug/kprobes/list and at who traces it. Take a probe that is not listed there, or that nobody can name, for an attack.',
  *find(kernel) {
    const probed = kernel.contents?.text.probed ?? [];
    if (probed.length === 0) return;
    const named = probed
      .slice(0, NAMED)
      .map((at) => kernel.symbolAt?.(imageVirtualAddress(at)) ?? offsetOf(kernel, at));
    const more = probed.length > NAMED ? ` and ${(probed.length - NAMED).toLocaleString('en-US')} more` : '';
    const are = probed.length === 1 ? 'kprobe is' : 'kprobes are';
    yield {
      ...occurrenceOf(kernel, extentsOfImage(kernel, probed), {
        severity: 'medium',
        summary: `${probed.length.toLocaleString('en-US')} ${are} registered in the code: ${named.join(', ')}${more}.`,
      }),
      // All of them: one more is another finding.
      place: probed.map((at) => offsetOf(kernel, at)).join(', '),
    };
  },
};
