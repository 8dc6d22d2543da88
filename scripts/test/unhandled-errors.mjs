// A reporter of vitest: errors that no test and no file has, as a rejection that no one handles, go into the file that HEKI_TEST_ERRORS
// names. The report as JSON leaves them out.
import { writeFileSync } from 'node:fs';

export default class UnhandledErrors {
  onTestRunEnd(_modules, errors) {
    if (errors.length === 0) return;
    const text = errors.map(({ stack, message }) => stack ?? message).join('\n');
    writeFileSync(process.env.HEKI_TEST_ERRORS, text);
  }
}
