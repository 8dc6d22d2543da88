import { imageVirtualAddress, type UpdatedStaticCall } from '@heki/patch-sites';
import type { FindingKind } from '../finding.ts';
import { occurrenceOf, occurrenceWithoutMemory } from '../occurrence.ts';
import { extentsOfImage, offsetOf } from './in-image.ts';

/** Functions and calls that a summary names. */
const NAMED = 4;

export const FUNCTION_TRACED: FindingKind = {
  id: 'heki/function-traced',
  title: 'Functions are traced',
  worst: 'medium',
  explanation:
    "With --vmlinux: where functions of the kernel begin, it calls ftrace, a trampoline that was made for one tracer, or one of eBPF. Such calls are what Linux writes there, so they are not told as code that differs from the image; the tracer's function runs first, and may skip the traced one or change its arguments.",
  attack:
    'Rootkits hook functions by registering a tracer: nothing of the text is written but what ftrace writes by itself.',
  legitimate:
    'ftrace, perf, bpftrace, livepatch; systemd attaches programs of eBPF to hooks of the security modules (RestrictFileSystems=), which lead to listed trampolines of eBPF, and are low.',
  advice:
    'Look in the guest at /sys/kernel/tracing/enabled_functions, which names the tracer of each function, and at bpftool prog.',
  *find(kernel) {
    const { traced = [], tracedByBpf = 0 } = kernel.contents?.text ?? {};
    if (traced.length === 0) return;
    const named = traced
      .slice(0, NAMED)
      .map((at) => kernel.symbolAt?.(imageVirtualAddress(at)) ?? offsetOf(kernel, at));
    const more = traced.length > NAMED ? ` and ${(traced.length - NAMED).toLocaleString('en-US')} more` : '';
    const are = traced.length === 1 ? 'function is' : 'functions are';
    yield {
      ...occurrenceOf(kernel, extentsOfImage(kernel, traced), {
        severity: tracedByBpf === traced.length ? 'low' : 'medium',
        summary: `${traced.length.toLocaleString('en-US')} ${are} traced: ${named.join(', ')}${more}.`,
      }),
      place: traced.map((at) => offsetOf(kernel, at)).join(', '),
    };
  },
};

export const STATIC_CALL_UPDATED: FindingKind = {
  id: 'heki/static-call-updated',
  title: 'Static calls lead where the image does not lead them',
  worst: 'medium',
  explanation:
    "With --vmlinux: Linux leads a static call to another function by static_call_update(), which writes the call's key and its sites. Here both agree, and the image names another function. That Linux did it, memory does not tell.",
  attack: 'Who writes the key, which is data, and the sites, leads the call to code of his own.',
  legitimate:
    'Every kernel leads some of them at boot to functions of its own, for its processor and its preemption model: info. KVM leads those of perf to functions of its module, tracepoints theirs to those of others.',
  advice: 'Look at where the calls lead that leave the image (heki symbols SNAPSHOT ADDRESS).',
  *find({ contents }) {
    const calls = contents?.text.updatedStaticCalls ?? [];
    const isInside = ({ leadsTo }: UpdatedStaticCall): boolean => leadsTo !== undefined;
    for (const [part, severity, what] of [
      [calls.filter((one) => !isInside(one)), 'medium', 'out of the image'],
      [calls.filter(isInside), 'info', 'to other functions of the image than it names'],
    ] as const) {
      if (part.length === 0) continue;
      const texts = part.map(({ name = '?', leadsTo }) =>
        leadsTo === undefined ? name : `${name} to ${leadsTo}`,
      );
      const more = part.length > NAMED ? ` and ${part.length - NAMED} more` : '';
      const lead = part.length === 1 ? 'static call leads' : 'static calls lead';
      const summary = `${part.length} ${lead} ${what}: ${texts.slice(0, NAMED).join(', ')}${more}.`;
      yield occurrenceWithoutMemory(texts.join(', '), severity, summary);
    }
  },
};
