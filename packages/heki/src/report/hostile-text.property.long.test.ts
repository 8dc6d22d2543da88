import { describeHostileText } from '../testing/hostile-text.ts';

describeHostileText({ costly: 2, cheap: 4 });
