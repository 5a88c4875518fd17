use crate::finding::{Class, Severity};

macro_rules! rules {
    ($(#[$class:ident $severity:ident] $variant:ident $id:literal $summary:literal;)+) => {
        /// All rules. Their ids are stable: tools and users may refer to them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $summary] $variant,)+
        }

        impl Rule {
            /// All rules, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable id, as in `docs/spec/bpmn-rules.md`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)+ }
            }

            /// What the rule asks for, in one sentence.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)+ }
            }

            /// What kind of rule it is.
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }

            /// Whether breaking it forbids the deployment.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

rules! {
    // The document as XML and as an instance of the BPMN 2.0 schema.
    #[Xml Error] XmlTooLarge "xml-too-large" "The document is at most 1 MiB.";
    #[Xml Error] XmlEncoding "xml-encoding" "The bytes are valid UTF-8 (a byte order mark is fine).";
    #[Xml Error] XmlDoctype "xml-doctype" "There is no DOCTYPE.";
    #[Xml Error] XmlTooDeep "xml-too-deep" "Elements are nested at most 256 deep.";
    #[Xml Error] XmlTooManyAttributes "xml-too-many-attributes" "An element has at most 256 attributes.";
    #[Xml Error] XmlNameTooLong "xml-name-too-long" "Names are at most 1 KiB long.";
    #[Xml Error] XmlTooManyNamespaces "xml-too-many-namespaces" "At most 256 namespace declarations are in scope at any place.";
    #[Xml Error] XmlTooManyNodes "xml-too-many-nodes" "The document has at most 200,000 nodes.";
    #[Xml Error] XmlMalformed "xml-malformed" "The document is well-formed XML with namespaces.";
    #[Xml Error] XmlRoot "xml-root" "The root element is `definitions` in the BPMN 2.0 namespace.";
    #[Xml Error] SchemaElement "schema-element" "Elements stand where the BPMN 2.0 schema allows them, in its order, and required ones are there.";
    #[Xml Error] SchemaAttribute "schema-attribute" "Attributes are those of the BPMN 2.0 schema, with values of their type, and required ones are there.";
    #[Xml Error] SchemaText "schema-text" "Text stands only where the BPMN 2.0 schema allows it, and has the type that it asks for.";
    #[Xml Error] SchemaType "schema-type" "`xsi:type` names a BPMN 2.0 type that fits the element.";
    #[Xml Error] DuplicateId "duplicate-id" "An id is used once in the document.";
    #[Xml Error] UnresolvedId "unresolved-id" "An id that is referred to exists in the document.";

    // Processes and sub-processes.
    #[Bpmn Error] NoExecutableProcess "no-executable-process" "At least one process is executable.";
    #[Bpmn Error] MissingProcessId "missing-process-id" "An executable process has an id.";
    #[Bpmn Error] NoStartEvent "no-start-event" "A process has a start event.";
    #[Bpmn Error] MultipleNoneStartEvents "multiple-none-start-events" "A process has at most one start event without a trigger.";
    #[Bpmn Error] SubProcessStartEvent "sub-process-start-event" "A sub-process has exactly one start event.";
    #[Bpmn Error] SubProcessTypedStart "sub-process-typed-start" "The start event of an embedded sub-process has no trigger.";
    #[Bpmn Error] EventSubProcessStart "event-sub-process-start" "An event sub-process starts by message, timer, error, signal or escalation.";
    #[Bpmn Error] UnsupportedElement "unsupported-element" "Only elements that have a meaning for execution are used.";
    #[Bpmn Error] MissingElementId "missing-element-id" "Flow nodes and sequence flows have an id.";

    // Tasks.
    #[Bpmn Error] MissingTaskDefinition "missing-task-definition" "A job-based element has exactly one `taskDefinition`.";
    #[Bpmn Error] MissingImplementation "missing-implementation" "A script task, business rule task, send task or message throw event has exactly one of `taskDefinition` and its own `script`, `calledDecision` or `publishMessage`.";
    #[Bpmn Error] MissingCalledElement "missing-called-element" "A call activity has exactly one `calledElement`.";
    #[Bpmn Error] MissingLoopCharacteristics "missing-loop-characteristics" "A multi-instance activity has exactly one `loopCharacteristics`.";
    #[Bpmn Error] LoopOutput "loop-output" "`outputElement` and `outputCollection` come together.";
    #[Bpmn Error] EmptyAttribute "empty-attribute" "The attributes that an extension element needs are there and not empty.";
    #[Bpmn Error] TaskHeader "task-header" "Task headers have a unique, unreserved key and a value.";
    #[Bpmn Error] FormDefinition "form-definition" "A form is named by exactly one of its keys.";
    #[Bpmn Error] UserTaskValue "user-task-value" "Static dates, candidates and priorities of a user task have their format.";
    #[Bpmn Error] ExecutionListener "execution-listener" "Execution listeners stand where one can run, and only once per event and type.";
    #[Bpmn Error] StraightThroughLoop "straight-through-loop" "A loop passes something that waits.";

    // Events.
    #[Bpmn Error] BoundaryEventOutgoing "boundary-event-outgoing" "A boundary event declares an outgoing sequence flow or, for compensation, has an association.";
    #[Bpmn Error] BoundaryEventIncoming "boundary-event-incoming" "A boundary event has no incoming sequence flow.";
    #[Bpmn Error] BoundaryEventHost "boundary-event-host" "A boundary event is attached to an activity.";
    #[Bpmn Error] BoundaryEventType "boundary-event-type" "A boundary event is a timer, message, error, signal, escalation or compensation event.";
    #[Bpmn Error] CatchEventType "catch-event-type" "An intermediate catch event is a message, timer, signal or link event.";
    #[Bpmn Error] EndEventType "end-event-type" "An end event is a none, error, message, terminate, signal, escalation or compensation event.";
    #[Bpmn Error] EndEventOutgoing "end-event-outgoing" "An end event has no outgoing sequence flow.";
    #[Bpmn Error] EventDefinitionCount "event-definition-count" "An event has as many event definitions as its kind allows.";
    #[Bpmn Error] EventDefinitionType "event-definition-type" "Event definitions are of a supported type.";
    #[Bpmn Error] NonInterruptingEvent "non-interrupting-event" "Only message, timer, signal and escalation events may be non-interrupting.";
    #[Bpmn Error] EscalationBoundaryHost "escalation-boundary-host" "An escalation boundary event is attached to a sub-process or a call activity.";
    #[Bpmn Error] MessageReference "message-reference" "A message event or receive task refers to a message.";
    #[Bpmn Error] MessageName "message-name" "A message that is waited for has a name.";
    #[Bpmn Error] MissingSubscription "missing-subscription" "A message that a running instance waits for has exactly one `subscription`.";
    #[Bpmn Error] SharedStartMessage "shared-start-message" "A message starts one start event.";
    #[Bpmn Error] StartNameExpression "start-name-expression" "Names of messages and signals that start a process do not depend on variables.";
    #[Bpmn Error] ReceiveTaskMessage "receive-task-message" "A receive task and its boundary events wait for different messages.";
    #[Bpmn Error] TimerDefinition "timer-definition" "A timer has exactly one of date, duration and cycle.";
    #[Bpmn Error] TimerCycle "timer-cycle" "A timer that fires once has no cycle.";
    #[Bpmn Error] TimerValue "timer-value" "A constant timer value is an ISO 8601 date, duration or repetition, or a cron expression.";
    #[Bpmn Error] ErrorReference "error-reference" "An error event refers to an error.";
    #[Bpmn Error] ErrorCode "error-code" "A thrown error has a code; a caught one has none, which catches all, or a constant one.";
    #[Bpmn Error] EscalationReference "escalation-reference" "An escalation that is thrown refers to an escalation.";
    #[Bpmn Error] EscalationCode "escalation-code" "A thrown escalation has a code; a caught one has none, which catches all, or a constant one.";
    #[Bpmn Error] SignalReference "signal-reference" "A signal event refers to a signal.";
    #[Bpmn Error] SignalName "signal-name" "A signal has a name.";
    #[Bpmn Error] LinkName "link-name" "A link event has a name.";
    #[Bpmn Error] LinkPair "link-pair" "A thrown link is caught in the same scope.";
    #[Bpmn Error] DuplicateEvent "duplicate-event" "What one scope or activity catches is caught by one event.";
    #[Bpmn Error] CompensationWait "compensation-wait" "A thrown compensation waits for its completion.";
    #[Bpmn Error] CompensationActivity "compensation-activity" "A compensation that names an activity names one of its scope.";
    #[Bpmn Error] CompensationHandler "compensation-handler" "A compensation handler has no sequence flows and no boundary events.";

    // Gateways and flows.
    #[Bpmn Error] MissingCondition "missing-condition" "A flow out of a forking exclusive or inclusive gateway has a condition or is the default.";
    #[Bpmn Error] MisplacedCondition "misplaced-condition" "Conditions stand only on flows out of exclusive and inclusive gateways.";
    #[Bpmn Error] DefaultFlow "default-flow" "A default flow starts at its gateway.";
    #[Bpmn Error] EventGatewayFlows "event-gateway-flows" "An event-based gateway declares at least two outgoing flows.";
    #[Bpmn Error] EventGatewayTarget "event-gateway-target" "An event-based gateway leads only to message, timer and signal catch events, which nothing else leads to.";
    #[Bpmn Error] FlowReference "flow-reference" "A sequence flow connects flow nodes of its process, and `outgoing` children name sequence flows.";

    // Expressions.
    #[Bpmn Error] ExpressionExpected "expression-expected" "A value that must be an expression starts with `=`.";
    #[Bpmn Error] FeelSyntax "feel-syntax" "An expression is FEEL.";
    #[Bpmn Error] PathSyntax "path-syntax" "A variable path is made of names joined by dots.";

    // What this engine does not execute yet.
    #[EngineCapability Error] CapabilityOneProcess "capability-one-process" "A document has one executable process.";
    #[EngineCapability Error] CapabilityEncoding "capability-encoding" "Only UTF-8 is read.";
    #[EngineCapability Error] CapabilityJobTypes "capability-job-types" "A file has at most 500 job types.";
    #[EngineCapability Error] CapabilityUndefinedTask "capability-undefined-task" "Undefined tasks are not executed yet.";
    #[EngineCapability Error] CapabilityUserTask "capability-user-task" "User tasks are not executed yet.";
    #[EngineCapability Error] CapabilityManualTask "capability-manual-task" "Manual tasks are not executed yet.";
    #[EngineCapability Error] CapabilityScriptTask "capability-script-task" "Script tasks are not executed yet.";
    #[EngineCapability Error] CapabilityBusinessRuleTask "capability-business-rule-task" "Business rule tasks are not executed yet.";
    #[EngineCapability Error] CapabilitySendTask "capability-send-task" "Send tasks are not executed yet.";
    #[EngineCapability Error] CapabilityReceiveTask "capability-receive-task" "Receive tasks are not executed yet.";
    #[EngineCapability Error] CapabilityCallActivity "capability-call-activity" "Call activities are not executed yet.";
    #[EngineCapability Error] CapabilitySubProcess "capability-sub-process" "Sub-processes of any kind are not executed yet.";
    #[EngineCapability Error] CapabilityMultiInstance "capability-multi-instance" "Loops and multi-instance activities are not executed yet.";
    #[EngineCapability Error] CapabilityInclusiveGateway "capability-inclusive-gateway" "Inclusive gateways are not executed yet.";
    #[EngineCapability Error] CapabilityEventBasedGateway "capability-event-based-gateway" "Event-based gateways are not executed yet.";
    #[EngineCapability Error] CapabilityComplexGateway "capability-complex-gateway" "Complex gateways are not executed.";
    #[EngineCapability Error] CapabilityBoundaryEvent "capability-boundary-event" "Boundary events are not executed yet.";
    #[EngineCapability Error] CapabilityIntermediateEvent "capability-intermediate-event" "Intermediate events without a trigger are not executed yet.";
    #[EngineCapability Error] CapabilityMessageEvent "capability-message-event" "Message events are not executed yet.";
    #[EngineCapability Error] CapabilityTimerEvent "capability-timer-event" "Timer events are not executed yet.";
    #[EngineCapability Error] CapabilityErrorEvent "capability-error-event" "Error events are not executed yet.";
    #[EngineCapability Error] CapabilityEscalationEvent "capability-escalation-event" "Escalation events are not executed yet.";
    #[EngineCapability Error] CapabilitySignalEvent "capability-signal-event" "Signal events are not executed yet.";
    #[EngineCapability Error] CapabilityLinkEvent "capability-link-event" "Link events are not executed yet.";
    #[EngineCapability Error] CapabilityCompensation "capability-compensation" "Compensation is not executed yet.";
    #[EngineCapability Error] CapabilityConditionalEvent "capability-conditional-event" "Conditional events are not executed yet.";
    #[EngineCapability Error] CapabilityTerminateEvent "capability-terminate-event" "Terminate end events are not executed yet.";
    #[EngineCapability Error] CapabilityCancelEvent "capability-cancel-event" "Cancel events are not executed yet.";
    #[EngineCapability Error] CapabilityElement "capability-element" "Choreography elements and implicit throw events are not executed.";
    #[EngineCapability Error] CapabilityStartEvent "capability-start-event" "A process starts by a start event without a trigger.";
    #[EngineCapability Error] CapabilityIoMapping "capability-io-mapping" "Input and output mappings are not applied yet.";
    #[EngineCapability Error] CapabilityListener "capability-listener" "Execution and task listeners are not run yet.";
    #[EngineCapability Error] CapabilityJobType "capability-job-type" "Job types that depend on variables are not evaluated yet.";
    #[EngineCapability Error] CapabilityUnservableJobType "capability-unservable-job-type" "A WorkflowWorker can serve the job type: one line, no comma, no blank at its ends, at most 63 characters as a label value.";
    #[EngineCapability Error] CapabilityRetries "capability-retries" "Retries are a whole number from 1 to 100 or an expression of the FEEL subset.";
    #[EngineCapability Error] CapabilityFeel "capability-feel" "Conditions use the documented subset of FEEL.";
    #[EngineCapability Error] CapabilityFlow "capability-flow" "The rules for conditions and for start and end events also hold for flows that their elements do not declare.";
    #[EngineCapability Error] CapabilityEventReference "capability-event-reference" "Event definitions that are shared by reference are not executed yet.";
    #[EngineCapability Error] CapabilityQuantity "capability-quantity" "Activities start and complete with one token.";
    #[EngineCapability Error] CapabilityIdentifier "capability-identifier" "Ids, job types and version tags are printable and have at most 255 characters; blanks in job types are plain ones.";

    // Error-prone modelling, reported in strict mode.
    #[Style Error] StyleEndEvent "style-end-event" "A process has an end event.";
    #[Style Error] StyleImplicitStart "style-implicit-start" "Every flow node that is not started by an event has an incoming flow.";
    #[Style Error] StyleImplicitEnd "style-implicit-end" "Every path ends at an end event.";
    #[Style Error] StyleImplicitSplit "style-implicit-split" "Paths fork at a gateway.";
    #[Style Error] StyleDuplicateFlow "style-duplicate-flow" "Two elements are connected by one sequence flow.";
    #[Style Error] StyleJoinFork "style-gateway-join-fork" "A gateway joins or forks, not both.";
    #[Style Warning] StyleFakeJoin "style-fake-join" "Paths join at a gateway.";
    #[Style Warning] StyleSuperfluousGateway "style-superfluous-gateway" "A gateway joins or forks.";
    #[Style Warning] StyleLabel "style-label" "Events, tasks and the flows of a decision have a name.";
    #[Style Warning] StyleSharedProcessId "style-shared-process-id" "Files that are linted together have different process ids.";
}

#[cfg(test)]
mod tests;
