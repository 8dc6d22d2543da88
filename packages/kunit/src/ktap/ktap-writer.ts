import { KunitError } from '../error.ts';

/** The outcome of a test or of a group of them. */
export type KtapStatus = 'ok' | 'not ok' | 'skip';

/**
 * Writes results in KTAP version 1 (Documentation/dev-tools/ktap.rst), line by line as they come. A test that has tests of its
 * own is a group, indented by four spaces more than its own result.
 */
export interface KtapWriter {
  /** `KTAP version 1`, and how many tests follow: the beginning of the output. */
  begin(tests: number): void;
  /** The beginning of a group inside of the one before. */
  beginGroup(name: string, tests: number): void;
  /** Totals and the result of the innermost group, which says `not ok` when a test of it did, and `skip` when all were skipped. */
  endGroup(): KtapStatus;
  /** Lines for people, each after `# `. */
  diagnostic(text: string): void;
  /** The result of the next test. `reason` says why it was skipped. */
  result(name: string, status: KtapStatus, reason?: string): void;
}

interface Group {
  readonly name: string;
  readonly planned: number;
  pass: number;
  fail: number;
  skip: number;
}

const INDENTATION = '    ';
const LINE_BREAK = /\r\n|[\n\r\v\f\u0085\u2028\u2029]/;

/**
 * A KTAP writer that hands each line, without its end, to `writeLine`.
 *
 * @throws {KunitError} from its functions when tests are reported outside of a group, or more or fewer than were announced
 */
export function createKtapWriter(writeLine: (line: string) => void): KtapWriter {
  const open: Group[] = [];
  const line = (text: string, depth = open.length - 1): void => writeLine(INDENTATION.repeat(depth) + text);

  const innermost = (): Group => {
    const group = open.at(-1);
    if (group === undefined) throw new KunitError('a result of a test before the output has begun');
    return group;
  };

  const start = (name: string, planned: number, isGroup: boolean): void => {
    open.push({ name, planned, pass: 0, fail: 0, skip: 0 });
    line('KTAP version 1');
    if (isGroup) line(`# Subtest: ${nameText(name)}`);
    line(`1..${planned}`);
  };

  const result = (name: string, status: KtapStatus, reason: string | undefined): void => {
    const group = innermost();
    const number = done(group) + 1;
    if (number > group.planned) {
      throw new KunitError(`test ${number} (${name}) of ${group.planned}: expected no more`);
    }
    if (status === 'not ok') group.fail++;
    else if (status === 'skip') group.skip++;
    else group.pass++;
    const directive = status === 'skip' ? ` # SKIP${reason === undefined ? '' : ` ${lineText(reason)}`}` : '';
    line(`${status === 'not ok' ? 'not ok' : 'ok'} ${number} ${nameText(name)}${directive}`);
  };

  return {
    begin(tests) {
      if (open.length > 0) throw new KunitError('the output has begun already');
      start('', tests, false);
    },
    beginGroup(name, tests) {
      innermost();
      start(name, tests, true);
    },
    endGroup() {
      const group = innermost();
      if (done(group) !== group.planned || open.length === 1) {
        throw new KunitError(`${done(group)} results in group ${group.name}: expected ${group.planned}`);
      }
      open.pop();
      const { pass, fail, skip, planned } = group;
      const totals = `pass:${pass} fail:${fail} skip:${skip} total:${planned}`;
      if (planned > 1) {
        line(`# ${nameText(group.name)}: ${totals}`);
        line(`# Totals: ${totals}`);
      }
      const status = fail > 0 ? 'not ok' : pass === 0 && skip > 0 ? 'skip' : 'ok';
      result(group.name, status, undefined);
      return status;
    },
    diagnostic(text) {
      innermost();
      for (const part of text.split(LINE_BREAK)) line(`# ${part}`.trimEnd());
    },
    result: (name, status, reason) => result(name, status, reason),
  };
}

const done = ({ pass, fail, skip }: Group): number => pass + fail + skip;
const lineText = (text: string): string => text.split(LINE_BREAK).join(' ').trim();
/** `#` begins a directive, so a name cannot have one. */
const nameText = (name: string): string => lineText(name.replaceAll('#', '_'));
