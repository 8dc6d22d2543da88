import { describeHostileText } from '../testing/hostile-text.ts';

describeHostileText({ costly: 1, cheap: 2, every: true });
