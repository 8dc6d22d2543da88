import { SEVERITIES } from '@heki/audit';
import { KUNIT_SUITES } from '@heki/kunit';
import { REGION_NAMES } from '@heki/vmcore';
import { z } from 'zod';
import type { SchemaName } from '../report/report-header.ts';
import { attack, initOutcome, step } from './json-shapes/attack.ts';
import {
  auditFinding,
  comparedModules,
  comparedPart,
  comparedText,
  hekiSummary,
  rights,
  severity,
} from './json-shapes/audit.ts';
import { fleetResult, fleetStatus, missingFiles, setAsideJob } from './json-shapes/fleet.ts';
import {
  inModule,
  outcome,
  partOfModule,
  placeInKernel,
  regionOfPlace,
  tables,
} from './json-shapes/place.ts';
import {
  assumed,
  counted,
  hex,
  letters,
  notCovered,
  profile,
  published,
  verdict,
  warnings,
} from './json-shapes/report.ts';

/** The shapes of what commands print with `--json`, as far as programs may rely on them; each is published as a JSON Schema. */

const position = z.int().min(1);
const place = z
  .strictObject({
    file: z.string().optional().describe('As it was given'),
    line: position.optional(),
    column: position.optional(),
    offset: z.int().min(0).optional().describe('In bytes, in the unpacked file'),
    step: z.string().optional().describe('Of a scenario: its list, and its index from 0'),
    option: z.string().optional().describe('With its dashes'),
  })
  .describe('As much of it as is known');

const disclosures = z.array(z.strictObject({ subject: z.string().min(1), detail: z.string().min(1) }));
const costs = z.strictObject({
  calls: z.int().min(0),
  exits: z.int().min(0),
  flushes: z.int().min(0),
  asked: z.int().min(0).describe('Requests to the owner of the policy'),
});

const kunitSuite = z.enum(KUNIT_SUITES);
const kunitStatus = z.enum(['ok', 'not ok', 'skip']);

const attackMechanisms = z.array(z.strictObject({ name: z.string().min(1), title: z.string().min(1) }));
const attackMachine = {
  name: z.string().min(1),
  title: z.string().min(1),
  machine: z.looseObject({}).describe('Its specification, as a scenario has it'),
};
const labAttack = {
  name: z.string().min(1),
  title: z.string().min(1),
  gains: z.string().min(1),
  source: z.string().min(1),
  means: z.array(z.string().min(1)),
  legitimate: z.boolean(),
  stoppedBy: z.array(z.string().min(1)).describe('Mechanisms each of which is said to stop it'),
};

/** What `heki diff` tells of a range. */
const changed = z.strictObject({
  start: hex,
  end: hex,
  before: z.string(),
  after: z.string(),
  symbol: z.string().nullable().describe('What begins the range, by the symbols of the second kernel'),
});

/** By the name of the command. */
export const JSON_SHAPES = {
  protect: published('protect', 'protect --json', {
    snapshot: z.string(),
    image: z.string().nullable().describe('The file of `--vmlinux`'),
    hypervisor: z.string(),
    profile,
    mbec: z.boolean(),
    attacks: z.array(attack),
    verdict,
    warnings,
    assumed,
    notCovered,
  }),
  audit: published('audit', 'audit --json', {
    verdict: z.strictObject({
      result: z.enum(['pass', 'fail']),
      text: z.string().min(1),
      worst: severity.nullable().describe('Of all findings, accepted ones too'),
      failOn: severity,
      counts: z.strictObject(Object.fromEntries(SEVERITIES.map((one) => [one, z.int().min(0)]))),
    }),
    findings: z.array(auditFinding).describe('The worst first'),
    heki: hekiSummary.nullable().describe('What Heki would do; null with --no-heki'),
    contents: z
      .strictObject({
        text: comparedText,
        constants: comparedPart.nullable(),
        modules: comparedModules
          .nullable()
          .describe('With a Debian package; null without modules to compare'),
      })
      .nullable()
      .describe('Bytes compared with the image of --vmlinux; null without'),
    source: z.looseObject({ name: z.string().nullable(), redacted: z.boolean() }),
    warnings,
  }),
  watch: published('watch', 'watch --json (an object a line)', {
    time: z.iso.datetime(),
    event: z.enum(['start', 'alarm', 'over', 'reboot', 'unreadable', 'end']),
    findings: z.int().optional().describe('start: of the first moment'),
    everyMs: z.int().optional().describe('start'),
    warnings: warnings.optional().describe('start: what a reader must know to take the rest rightly'),
    kind: z
      .enum(['sealed', 'finding'])
      .optional()
      .describe('alarm: what Heki would hold, or a finding of the audit'),
    id: z.string().optional().describe('alarm, over: stays the same as long as it lasts'),
    text: z.string().optional().describe('alarm, over, unreadable: one sentence'),
    moments: z.int().optional().describe('end: how many were looked at'),
    alarms: z.int().optional().describe('end'),
  }),
  diff: published('diff', 'diff --json', {
    same: z.boolean().describe('Nothing differs: exit code 0'),
    sameBoot: z.boolean().describe('Text and direct map lie where they lay: frames are compared, too'),
    regions: z.array(
      z.strictObject({
        region: z.enum(REGION_NAMES),
        rights,
        before: z.int().describe('Pages'),
        after: z.int(),
      }),
    ),
    image: z.array(changed).describe('By offset from the start of the image'),
    frames: z.array(changed).describe('By physical address; of one boot only, and not with --redact'),
    appeared: z.array(
      z.strictObject({ id: z.string(), severity, summary: z.string(), fingerprint: z.string() }),
    ),
    gone: z.array(z.strictObject({ id: z.string(), severity, summary: z.string(), fingerprint: z.string() })),
    warnings,
  }),
  boot: published('boot', 'boot --json', {
    boot: z.enum(['works', 'error', 'oops']),
    heki: z
      .strictObject({
        early: initOutcome,
        late: initOutcome,
        seal: z
          .int()
          .nullable()
          .describe(
            "The answer of the owner of the kernel's code: the number of its image, or a negative error number",
          ),
      })
      .describe("Outcomes of Heki's two steps of boot, and of the seal; null for one that was not taken"),
    steps: z.array(step),
    expected: z.boolean().describe('Boot and every step came out as the scenario expects'),
    verdict,
    warnings,
    assumed,
    notCovered,
  }),
  replay: published('replay', 'replay --json', {
    profile,
    mbec: z.boolean(),
    verdict,
    warnings,
    assumed,
    notCovered,
  }),
  walk: published('walk', 'walk --json', {
    tables,
    warnings,
    leaves: z.array(
      z.strictObject({
        va: hex,
        pa: hex,
        pages: z.int().min(1),
        size: z.enum(['4K', '2M', '1G']),
        entry: hex,
        leaf: letters.describe('What the leaf alone allows'),
        effective: letters.describe('What all levels together allow'),
        user: z.boolean(),
        flags: z.array(z.string()),
        places: z.int().min(2).optional().describe('Entries that lead to its table'),
        region: regionOfPlace.optional().describe("Part of the kernel's half that it lies in"),
        module: inModule.optional().describe('The module that it lies in; with --symbols'),
        alsoIn: z.array(z.string().min(1)).min(1).optional().describe('Other regions that it reaches into'),
        symbol: z.string().min(1).optional().describe('What begins there, or before; with --symbols'),
      }),
    ),
    sharedTables: z.array(
      z.strictObject({
        va: hex,
        pages: z.int().min(1),
        places: z.int().min(1),
        table: hex,
        listedAt: hex.describe('Where its leaves are listed'),
        mappings: z.int().min(0),
      }),
    ),
    sharedMappings: z.int().min(0),
    tablesAtSeveralLevels: z.int().min(0),
    absentTables: z.int().min(0).describe('Page-table pages that are not in the snapshot'),
    stoppedAt: hex.nullable().describe('Where the walk gave up'),
  }),
  translate: published('translate', 'translate --json', {
    va: hex,
    access: z.enum(['read', 'write', 'fetch']),
    user: z.boolean(),
    place: placeInKernel.nullable().describe('What is there; null for addresses of user mode'),
    tables,
    steps: z.array(
      z.strictObject({
        level: z.int().min(1).max(5),
        name: z.string(),
        address: hex,
        entry: hex,
        present: z.boolean(),
        leaf: z.boolean(),
        frame: hex,
        flags: z.array(z.string()),
        key: z.int().min(0).max(15),
      }),
    ),
    outcome,
    processor: z.looseObject({ name: z.string() }),
    warnings,
  }),
  symbols: published('symbols', 'symbols --json', {
    source: z
      .looseObject({ kind: z.enum(['kallsyms', 'file', 'none']) })
      .describe('What told the symbols; of kallsyms how it was found, of none why not'),
    total: z.int().min(0).describe('Symbols that are known of the image'),
    kaslr: z
      .strictObject({
        offset: z.string().regex(/^-?0x[0-9a-f]+$/),
        from: z.enum(['vmcoreinfo', 'symbols', 'default-link-address']),
      })
      .nullable()
      .describe('How far the image is from where it was linked'),
    address: placeInKernel.extend({ va: hex }).nullable().describe('Of the address that was asked for'),
    symbols: z.array(
      z.strictObject({
        name: z.string(),
        va: hex,
        type: z.string().length(1),
        module: z.string().optional().describe('Of what is not part of the image; `bpf` of eBPF'),
      }),
    ),
    modules: z
      .array(
        z.strictObject({
          name: z.string(),
          parts: z.array(z.strictObject({ kind: partOfModule, start: hex, end: hex })),
          sections: z.array(z.strictObject({ name: z.string(), va: hex })),
        }),
      )
      .nullable()
      .describe('With --modules: what is loaded, the last first'),
    warnings,
  }),
  read: published('read', 'read --json', {
    va: hex,
    length: z.int().min(1),
    place: placeInKernel.nullable().describe('What is there; null for addresses of user mode'),
    tables,
    stretches: z
      .array(
        z.strictObject({
          va: hex,
          length: z.int().min(1),
          from: z
            .enum(['guest', 'image'])
            .nullable()
            .describe('Where the bytes are from: the snapshot, or the file of --vmlinux'),
          bytes: z
            .string()
            .regex(/^(?:[0-9a-f]{2})+$/)
            .nullable()
            .describe('Null for what is not mapped, or not in the snapshot'),
          code: z
            .array(
              z.strictObject({
                va: hex,
                bytes: z.string(),
                text: z
                  .string()
                  .min(1)
                  .describe(
                    "Intel's syntax; (bad) for bytes that are not an instruction, (cut short) for one that goes on behind them",
                  ),
                target: z
                  .strictObject({ va: hex, symbol: z.string().nullable() })
                  .nullable()
                  .describe('Where a near call or jump leads'),
              }),
            )
            .nullable()
            .describe('Where it was read as code'),
        }),
      )
      .describe('Ascending; they part where what can be read meets what cannot'),
    warnings,
  }),
  find: published('find', 'find --json', {
    tables,
    found: z.array(
      z.strictObject({
        va: hex,
        pa: hex,
        pages: z.int().min(1),
        effective: rights,
        region: z.string().min(1).describe('As people name it: `kernel text`, `module xfs text`'),
        symbol: z.string().nullable(),
        mappings: z.int().min(1).describe('Of each of its frames, this one included'),
      }),
    ),
    leftOut: z.int().min(0).describe('Ranges that were found beside those that are listed'),
    warnings,
  }),
  'fleet-changed': published('fleet-changed', 'fleet setup, retry, cancel, purge --json', {
    changed: z.int().min(0),
  }),
  'fleet-results': published('fleet-results', 'fleet results --json', {
    results: z.array(fleetResult).describe('The oldest first'),
  }),
  'fleet-run': published('fleet-run', 'fleet run --json', {
    items: z.int().min(0),
    known: z.int().min(0).describe('Of these, those that were known before'),
    left: z.int().min(0).describe('Not done: the command was interrupted'),
    missing: missingFiles,
    results: z.array(fleetResult),
    setAside: z.array(setAsideJob),
  }),
  'fleet-set-aside': published('fleet-set-aside', 'fleet set-aside --json', {
    setAside: z.array(setAsideJob.extend({ at: z.iso.datetime() })),
  }),
  'fleet-status': published('fleet-status', 'fleet status --json', fleetStatus),
  'fleet-submit': published('fleet-submit', 'fleet submit --json', {
    added: z.int().min(0),
    known: z.int().min(0),
    missing: missingFiles,
  }),
  'fleet-work': published('fleet-work', 'fleet work --json', {
    done: z.int().min(0),
    failed: z.int().min(0),
    auditingMs: z.int().min(0).describe('Of all jobs at the same time together'),
    queueingMs: z.int().min(0),
  }),
  extract: published('extract', 'extract --json', {
    snapshot: z.string(),
    core: z.string().nullable().describe('Path of what was written; null for standard output'),
    sidecar: z.string().nullable(),
    bytes: z.int().min(0),
    tablePages: z.int().min(0),
    absentTables: z.int().min(0),
    roots: z.array(
      z.strictObject({ address: hex, levels: z.literal([4, 5]), from: z.string(), cpu: z.int().nullable() }),
    ),
    user: z.boolean(),
    redacted: z.boolean(),
    discloses: disclosures,
    leavesOut: disclosures,
    warnings,
  }),
  backends: published('backends', 'backends --json', {
    backends: z.array(
      z.strictObject({
        name: z.string(),
        title: z.string(),
        processor: z.string(),
        unjudged: z.boolean(),
        capabilities: z.record(z.string(), z.string()),
        cost: z.looseObject({ boot: costs, moduleLoad: costs }),
        work: z.record(z.string(), z.string()),
        warnings,
      }),
    ),
  }),
  workloads: published('workloads', 'boot --workload NAME --json', {
    workloads: z.array(
      z.strictObject({
        workload: z.string(),
        outcomes: z
          .record(
            z.string(),
            z.looseObject({
              verdict: z.enum(['works', 'refused', 'breaks']),
              reason: z.string().optional(),
              writableAndExecutable: z.int().min(0),
              beyondMappings: z.int().min(0),
            }),
          )
          .describe('By the setting'),
        warnings,
      }),
    ),
  }),
  kunit: published('kunit', 'kunit --json', {
    machine: z
      .looseObject({ hypervisor: z.string(), profile, mbec: z.boolean() })
      .describe('Each test has its own'),
    suites: z.array(
      z.strictObject({
        name: kunitSuite,
        status: kunitStatus,
        tests: z.array(
          z.strictObject({
            number: z.int().min(1).describe('As `--test` takes it'),
            name: z.string().min(1),
            status: kunitStatus,
            skipped: z.string().nullable().describe('Why it was skipped'),
            ended: z
              .strictObject({
                kind: z.enum(['exception', 'livelock', 'absent-table', 'triple-fault', 'stopped']),
                reason: z.string().min(1),
              })
              .nullable()
              .describe('The outcome of the access at which its thread died or stands still'),
            log: z.array(z.string()).describe('Failed expectations included'),
          }),
        ),
      }),
    ),
    totals: z.strictObject({ pass: z.int().min(0), fail: z.int().min(0), skip: z.int().min(0) }),
    log: z.array(z.string()).describe('What the kernel says of its command line'),
    exitCode: z.literal([0, 1]).describe('1: a test failed, under any profile'),
    warnings,
  }),
  'kunit-tests': published('kunit-tests', 'kunit --list --json', {
    suites: z.array(z.strictObject({ name: kunitSuite, tests: z.array(z.string().min(1)) })),
    changedExpectations: z
      .array(
        z.strictObject({
          test: z.string().min(1),
          published: z.string().min(1),
          port: z.string().min(1),
          why: z.string().min(1),
        }),
      )
      .describe('What the ports, which run under hardened, expect otherwise than the published tests'),
  }),
  explain: published('explain', 'explain --json', {
    kinds: z.array(
      z.looseObject({
        id: z.string(),
        worst: severity,
        title: z.string(),
        explanation: z.string(),
        attack: z.string(),
        legitimate: z.string(),
        advice: z.string(),
      }),
    ),
  }),
  explore: published('explore', 'explore --json', {
    machine: z.string(),
    title: z.string(),
    properties: z.array(
      z.looseObject({
        id: z.string(),
        says: z.string().describe('What holds, as a sentence'),
        verdict: z
          .enum(['falls', 'holds', 'did-not-fall'])
          .describe(
            'holds: in every state that the machine can reach. did-not-fall: in those that were looked at; no state is followed in which another property fell',
          ),
        story: z
          .array(z.string())
          .optional()
          .describe('A shortest list of actions after which it has fallen'),
      }),
    ),
    states: z.int().min(1),
    transitions: z.int().min(0),
    depth: z.int().min(0).describe('Most actions in a row'),
    end: z
      .enum(['closed', 'cut', 'fallen', 'depth', 'states', 'stopped', 'replayed'])
      .describe(
        'closed: every state was looked at, and nothing fell. cut: every state that can be reached before something falls. replayed: no search, only stories that were told again (--replay)',
      ),
    requestsAreOneStep: z
      .boolean()
      .describe('What can come between the parts of a request was not looked at'),
  }),
  error: published('error', 'COMMAND --json', {
    error: z.strictObject({
      kind: z.enum(['usage', 'input', 'impossible', 'output', 'internal']),
      message: z.string().min(1),
      place,
      unread: z
        .literal(true)
        .optional()
        .describe(
          'What was to be read could not be reached, or not be read to its end: nothing is said of what it holds',
        ),
    }),
  }).describe('What any command prints instead, when it cannot do its work and was asked for JSON'),
  inspect: published('inspect', 'inspect --json', {
    url: z.string().min(1).describe('With the token, without which nothing is served'),
    port: z.int().min(1).max(65_535),
    pid: z.int().min(1).describe('Of the server: SIGINT ends it, and so does closing the page'),
    source: z
      .string()
      .min(1)
      .nullable()
      .describe('The file that is served; null for the kernel that comes with heki'),
  }),
  version: published('version', '--version --json', {
    schemas: z.record(z.string().min(1), z.int().min(1)).describe('The version of each shape, by its name'),
  }),
  attack: published('attack', 'attack --json', {
    snapshot: z
      .string()
      .min(1)
      .nullable()
      .describe('The file and the kernel that were attacked; null for a kernel that boots'),
    counts: z.strictObject({
      cells: z.int().min(0).describe('Attempts: attacks by machines, legitimate work left out'),
      claimed: counted.describe('Where the machine claims to stop the attack'),
      unclaimed: counted,
      notExpressible: z.int().min(0),
    }),
    unkeptClaims: z
      .array(z.strictObject({ attack: z.string().min(1), machine: z.string().min(1) }))
      .describe('They make the command fail'),
    scores: z
      .array(
        z.strictObject({
          machine: z.string().min(1),
          attacks: z.strictObject({ tried: z.int().min(0), stopped: z.int().min(0) }),
          work: z.strictObject({ tried: z.int().min(0), goesOn: z.int().min(0) }),
        }),
      )
      .describe(
        'What each machine stops beside what legitimate work goes on; what says nothing there is left out',
      ),
    mechanisms: attackMechanisms,
    machines: z.array(
      z.strictObject({
        ...attackMachine,
        mechanisms: z.array(z.string().min(1)).describe('Those that it says it has'),
      }),
    ),
    attacks: z.array(
      z.strictObject({
        ...labAttack,
        claimedBy: z.array(z.string().min(1)).describe('Machines that have one of them'),
        verdicts: z.record(
          z.string().min(1).describe('A machine'),
          z.strictObject({
            verdict: z.enum([
              'succeeds',
              'detected too late',
              'blocked',
              'livelock',
              'crashes the guest',
              'not expressible',
            ]),
            by: z.string().min(1).nullable().describe('What stood in the way, as it was told'),
            evidence: z.string().min(1),
            claimed: z.boolean(),
            cause: z
              .string()
              .min(1)
              .nullable()
              .describe('With `--prove`: what stopped it, for without it it succeeds'),
            schedule: z
              .strictObject({ seed: z.int().min(0), turns: z.array(z.int()) })
              .nullable()
              .describe('Of a race: after which accesses of the kernel the attacker acted'),
            steps: z.array(
              z.strictObject({
                text: z.string().min(1),
                result: z.string().min(1),
                detail: z.string().nullable(),
              }),
            ),
          }),
        ),
      }),
    ),
  }),
  'attack-list': published('attack-list', 'attack --list --json', {
    mechanisms: attackMechanisms,
    machines: z.array(z.strictObject(attackMachine)),
    attacks: z.array(
      z.strictObject({
        ...labAttack,
        race: z.boolean().describe('A second processor acts while the kernel works'),
      }),
    ),
  }),
} as const satisfies Readonly<Record<SchemaName, z.ZodType>>;
