import { App } from 'aws-cdk-lib';
import { HeadgateStack } from './headgate-stack.js';
import { stackPropsFromContext } from './stack-context.js';

const app = new App();
new HeadgateStack(app, 'Headgate', stackPropsFromContext(app.node));
