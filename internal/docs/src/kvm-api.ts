import { readFileSync } from 'node:fs';
import { KVM_ABI_REVISIONS, type KvmAbi } from '@heki/hypercall/kvm';
import { ioctlAnswers, lockCrAnswers, protectMemoryAnswers } from './kvm-answers.ts';
import { markdownTable, type Page } from './page.ts';
import { interfaceMembers, literalVariants, type Member, unionVariants } from './source.ts';

const OPTIONS = 'packages/kvm/src/options.ts';
const MACHINE = 'packages/kvm/src/virtual-machine.ts';
const CONTRACT = 'packages/hypervisor/src/virtual-machine.ts';
const STATISTICS = 'packages/kvm/src/statistics.ts';
const EVENTS = 'packages/kvm/src/event.ts';
const COMMON_EVENTS = 'packages/hypervisor/src/event.ts';
const HOST_INCIDENTS = 'packages/kvm/src/host/host-incident.ts';
const EXITS = 'packages/kvm/src/exit/vmm.ts';
const POLICY = 'packages/kvm/src/policy/policy.ts';
const POLICY_EXITS = 'packages/kvm/src/policy/policy-exit.ts';
const EXAMPLE = 'examples/kvm-exits';

export const kvmApiPage: Page = {
  file: 'docs/kvm-api.md',
  parts: {
    example,
    options: () => memberTable(OPTIONS, 'KvmOptions'),
    budget: () => memberTable(OPTIONS, 'KvmBudget'),
    contract: () => memberTable(CONTRACT, 'VirtualMachine'),
    machine: () => memberTable(MACHINE, 'KvmVirtualMachine'),
    ioctls: () => memberTable(MACHINE, 'KvmIoctls'),
    'ioctl-answers': ioctlAnswers,
    'hypercall-13': lockCrAnswers,
    'hypercall-14': protectMemoryAnswers,
    exits,
    numbers,
    events,
    statistics: () => memberTable(STATISTICS, 'KvmStatistics'),
    policy: () => memberTable(POLICY, 'HekiPolicy'),
    'policy-exits': () =>
      `${source(POLICY_EXITS)}\n\n${markdownTable(['exit', '', 'fields'], variantRows(POLICY_EXITS, 'PolicyExit', 'reason'))}`,
  },
};

/** The example as it stands, which is type-checked and whose output is checked, and that output. */
function example(): string {
  const code = readFileSync(`${EXAMPLE}/src/index.ts`, 'utf8');
  const output = /```text\n([\s\S]*?)```/.exec(readFileSync(`${EXAMPLE}/README.md`, 'utf8'))?.[1];
  if (output === undefined) throw new Error(`${EXAMPLE}/README.md shows no output`);
  return `\`\`\`ts\n${code}\`\`\`\n\nprints\n\n\`\`\`text\n${output}\`\`\``;
}

const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``;
const source = (file: string): string => `From [${file}](../${file}).`;

/** The members of an interface with their docstrings. */
function memberTable(file: string, name: string): string {
  const rows = interfaceMembers(file, name).map(({ name: full, declaration, text }) => [
    code(`${full.slice(0, full.lastIndexOf('.') + 1)}${declaration}`),
    escaped(text),
  ]);
  return `${source(file)}\n\n${markdownTable([name, ''], rows)}`;
}

const escaped = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** One row for each object type of a union: its tag, its docstring and its other fields. */
function variantRows(file: string, name: string, tag: string): string[][] {
  return unionVariants(file, name).map((members) => {
    const [first] = members.filter((member) => member.name === tag);
    const literal = /'(.*)'/.exec(first?.declaration ?? '')?.[1] ?? '';
    return [
      code(literal),
      escaped(first?.text ?? ''),
      fieldsText(members.filter((member) => member !== first)),
    ];
  });
}

function fieldsText(members: readonly Member[]): string {
  return members.map(({ declaration }) => code(declaration)).join(', ');
}

function events(): string {
  const head = ['event', '', 'fields'];
  const incidentFields = fieldsText(
    interfaceMembers(HOST_INCIDENTS, 'HostIncident').filter(({ name }) => name !== 'type'),
  );
  const incidents = literalVariants(HOST_INCIDENTS, 'HostIncidentKind').map(({ name, text }) => [
    code(name),
    escaped(text),
    incidentFields,
  ]);
  return [
    `${source(EVENTS)} KVM's own:`,
    markdownTable(head, [...variantRows(EVENTS, 'KvmEvent', 'type'), ...incidents]),
    `${source(COMMON_EVENTS)} Every backend's:`,
    markdownTable(head, variantRows(COMMON_EVENTS, 'HypervisorEvent', 'type')),
  ].join('\n\n');
}

function exits(): string {
  return `${source(EXITS)}\n\n${markdownTable(['exit', '', 'fields'], variantRows(EXITS, 'UserExit', 'reason'))}`;
}

/** Numbers of Heki's exits and capabilities in each revision of the ABI. */
function numbers(): string {
  const number = (value: number | undefined): string =>
    value === undefined ? '-' : value < 1000 ? String(value) : `0x${value.toString(16)}`;
  const rows = Object.entries<KvmAbi>(KVM_ABI_REVISIONS).map(([name, { exits: exit, capabilities }]) => [
    code(name),
    number(exit.HEKI_CONFIGURE),
    number(exit.HEKI_DENIAL),
    number(capabilities.HEKI_CONFIGURE),
    number(capabilities.HEKI_DENIAL),
    number(capabilities.MEMORY_ATTRIBUTES),
  ]);
  return markdownTable(
    ['revision', 'exit: configure', 'exit: denial', 'cap.: configure', 'cap.: denial', 'cap.: attributes'],
    rows,
  );
}
