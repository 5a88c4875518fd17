//! XML namespaces of BPMN documents.

/// BPMN 2.0 semantic elements.
pub(crate) const BPMN: &str = "http://www.omg.org/spec/BPMN/20100524/MODEL";
/// BPMN 2.0 diagrams.
pub(crate) const BPMN_DI: &str = "http://www.omg.org/spec/BPMN/20100524/DI";
/// OMG diagram definition: bounds, points, fonts.
pub(crate) const DC: &str = "http://www.omg.org/spec/DD/20100524/DC";
/// OMG diagram interchange: waypoints.
pub(crate) const DI: &str = "http://www.omg.org/spec/DD/20100524/DI";
/// XML schema instance attributes (`xsi:type`).
pub(crate) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The supported extension namespaces, with the same local names in each.
pub(crate) const EXTENSIONS: [&str; 2] =
    ["http://camunda.org/schema/zeebe/1.0", "http://workflow.example.com/schema/1.0"];
